//! Which words end a host name.
//!
//! A word such as `main.rs` or `user.email` also ends in a top-level domain. Domains that are file extensions or
//! common names of members count only with more evidence: a scheme, an `@`, a port or a path.

/// How sure a last label makes of a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tld {
    No,
    /// Also a file extension or a member's name.
    Ambiguous,
    Plain,
}

/// Country codes, two letters each.
const COUNTRIES: &str = "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz \
    ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd ge gf gg \
    gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky \
    kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np \
    nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn so sr ss st su sv sx \
    sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw";

/// Country codes that are file extensions or members.
const AMBIGUOUS_COUNTRIES: &str =
    "ac am as bz cc do fm gz id im in la md mk ml mm ms om pl pm ps py rs sc sh so st tf to vi";

/// Generic domains that are hardly ever anything else.
const GENERIC: &[&str] = &[
    "academy", "aero", "agency", "asia", "bank", "biz", "cloud", "club", "com", "coop", "dev", "edu", "gmbh", "gov",
    "icu", "inc", "int", "jobs", "llc", "ltd", "mil", "mobi", "museum", "net", "onion", "online", "org", "shop",
    "site", "tech", "top", "vip", "website", "wiki", "xyz",
];

/// Generic domains that are words of programs and file names.
const AMBIGUOUS: &[&str] = &[
    "app",
    "art",
    "bio",
    "blog",
    "capital",
    "care",
    "center",
    "chat",
    "city",
    "click",
    "codes",
    "company",
    "design",
    "digital",
    "earth",
    "eco",
    "email",
    "energy",
    "finance",
    "fun",
    "game",
    "games",
    "global",
    "group",
    "health",
    "host",
    "info",
    "life",
    "link",
    "live",
    "loan",
    "media",
    "money",
    "mov",
    "name",
    "network",
    "news",
    "page",
    "photo",
    "photos",
    "post",
    "pro",
    "run",
    "school",
    "services",
    "social",
    "software",
    "solutions",
    "space",
    "store",
    "studio",
    "support",
    "systems",
    "team",
    "tel",
    "today",
    "tools",
    "travel",
    "university",
    "video",
    "work",
    "works",
    "world",
    "zip",
    "zone",
];

const fn bitmap(list: &str) -> [u32; 26] {
    let bytes = list.as_bytes();
    let mut map = [0u32; 26];
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at].is_ascii_lowercase() && bytes[at + 1].is_ascii_lowercase() {
            map[(bytes[at] - b'a') as usize] |= 1 << (bytes[at + 1] - b'a');
            at += 2;
        } else {
            at += 1;
        }
    }
    map
}

/// Pairs of first letters that occur: hardly any member of a program passes.
const fn first_letters() -> [u32; 26] {
    let mut map = [0; 26];
    let lists = [GENERIC, AMBIGUOUS];
    let mut list = 0;
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            let word = lists[list][at].as_bytes();
            map[(word[0] - b'a') as usize] |= 1 << (word[1] - b'a');
            at += 1;
        }
        list += 1;
    }
    map
}

/// Longest generic domain listed.
const LONGEST: usize = 10;

static COUNTRY_MAP: [u32; 26] = bitmap(COUNTRIES);
static AMBIGUOUS_MAP: [u32; 26] = bitmap(AMBIGUOUS_COUNTRIES);
static FIRST: [u32; 26] = first_letters();

/// What a last label is. Only lower case counts: `System.Net` is no host.
pub(crate) fn tld(label: &[u8]) -> Tld {
    if !(2..=LONGEST).contains(&label.len()) || !label.iter().all(u8::is_ascii_lowercase) {
        return Tld::No;
    }
    let first = usize::from(label[0] - b'a');
    let bit = 1 << (label[1] - b'a');
    if label.len() == 2 {
        return match (COUNTRY_MAP[first] & bit != 0, AMBIGUOUS_MAP[first] & bit != 0) {
            (true, false) => Tld::Plain,
            (true, true) => Tld::Ambiguous,
            (false, _) => Tld::No,
        };
    }
    let listed = |list: &[&str]| list.binary_search_by(|entry| entry.as_bytes().cmp(label)).is_ok();
    match FIRST[first] & bit != 0 {
        true if listed(GENERIC) => Tld::Plain,
        true if listed(AMBIGUOUS) => Tld::Ambiguous,
        _ => Tld::No,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_lists_are_sorted() {
        assert!(super::GENERIC.is_sorted() && super::AMBIGUOUS.is_sorted());
    }
}
