//! The shapes of credentials that providers gave a recognisable form, as data.
//!
//! A literal anchor finds the candidate, an anchored expression decides. Anchors are searched only inside long words,
//! so a line here costs nothing until a payload holds something that looks like it. Lengths are lower bounds where a
//! provider has changed them before: a token that grew must not slip through.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

/// The anchors lie at most this far before the long word that they belong to.
pub(crate) const REACH: usize = 10;

/// What is longer may be made of nothing but anchors.
pub(crate) const SANE: usize = 512;

/// Longest token that is read.
const LONGEST: usize = 2 << 10;

/// One shape: type, anchors, expression from `before` bytes ahead of the anchor.
struct Shape {
    kind: &'static str,
    anchors: &'static [&'static str],
    /// Starts at the anchor, or that many bytes before it.
    pattern: &'static str,
    before: Range<usize>,
    /// Whether the match must not continue a word to the left (for anchors that are parts of words).
    bound: bool,
}

const fn free(kind: &'static str, anchors: &'static [&'static str], pattern: &'static str) -> Shape {
    Shape { kind, anchors, pattern, before: 0..1, bound: false }
}

const fn bound(kind: &'static str, anchors: &'static [&'static str], pattern: &'static str) -> Shape {
    Shape { kind, anchors, pattern, before: 0..1, bound: true }
}

const fn after(
    kind: &'static str,
    anchors: &'static [&'static str],
    pattern: &'static str,
    before: Range<usize>,
) -> Shape {
    Shape { kind, anchors, pattern, before, bound: true }
}

/// `{w}` stands for the URL-safe base64 alphabet, `{a}` for letters and digits, `{h}` for lower-case hex digits;
/// `{e}` says that the token's last letter or digit is followed by none (`\b` would take `_` for one).
#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    // Clouds
    bound("aws_access_key_id", &["AKIA", "ASIA", "ABIA", "ACCA"], r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}{e}"),
    // A key for the models of Bedrock begins with its own name in base64, and a session's token with that of the region.
    bound("aws_bedrock_key", &["ABSKQmVkcm9ja0FQSUtleS"], r"ABSKQmVkcm9ja0FQSUtleS[A-Za-z0-9+/=]{20,}"),
    bound("aws_bedrock_key", &["bedrock-api-key-"], r"bedrock-api-key-[A-Za-z0-9+/=_-]{20,}"),
    bound("aws_session_token", &["IQoJb3JpZ2luX2Vj"], r"IQoJb3JpZ2luX2Vj[A-Za-z0-9+/=]{100,}"),
    free("gcp_api_key", &["AIza"], r"AIza{w}{35,}"),
    bound("gcp_api_key", &["AQ.Ab8"], r"AQ\.Ab8{w}{30,}"),
    free("google_oauth_token", &["ya29."], r"ya29\.[A-Za-z0-9_.-]{20,}"),
    free("google_oauth_secret", &["GOCSPX-"], r"GOCSPX-{w}{20,}"),
    bound("google_refresh_token", &["1//0"], r"1//0{w}{30,}"),
    after("azure_client_secret", &["Q~"], r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,}", 4..5),
    after("azure_ai_key", &["JQQJ99"], r"{a}{52}JQQJ99{a}{26}{e}", 52..53),
    after("azure_devops_token", &["AZDO"], r"{a}{76}AZDO{a}{4}", 76..77),
    bound("alibaba_access_key_id", &["LTAI"], r"LTAI{a}{12,24}{e}"),
    bound("tencent_secret_id", &["AKID"], r"AKID{a}{32}{e}"),
    free("digitalocean_token", &["dop_v1_", "doo_v1_", "dor_v1_"], r"do[opr]_v1_{h}{40,}"),
    free("cloudflare_origin_key", &["v1.0-"], r"v1\.0-{h}{24}-{h}{16,}"),
    bound("heroku_token", &["HRKU-"], r"HRKU-{w}{30,}"),
    bound("flyio_token", &["fo1_", "fm1_", "fm2_"], r"f(?:o1|m[12])_[A-Za-z0-9+/=_-]{40,}"),
    free("netlify_token", &["nfp_"], r"nfp_{a}{36,}"),
    free("supabase_key", &["sbp_", "sb_secret_"], r"(?:sbp_{h}{40}|sb_secret_{w}{20,})"),
    free("planetscale_token", &["pscale_"], r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,}"),
    // Code and packages
    free("github_token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"gh[pousr]_[A-Za-z0-9_]{36,}"),
    free("github_token", &["github_pat_"], r"github_pat_[A-Za-z0-9_]{36,}"),
    free("gitlab_token", &["glpat-", "gldt-", "glrt-", "glrtr-", "glptt-", "glft-", "glsoat-", "glcbt-", "glimt-", "glagent-", "gloas-", "glffct-", "GR1348941"],
        r"(?:gl(?:pat|dt|rt|rtr|ptt|ft|soat|cbt|imt|agent|oas|ffct)-|GR1348941)[A-Za-z0-9_.-]{20,}"),
    free("bitbucket_token", &["ATBB"], r"ATBB{a}{24,}"),
    free("npm_token", &["npm_"], r"npm_{a}{36,}"),
    free("pypi_token", &["pypi-"], r"pypi-{w}{40,}"),
    free("rubygems_token", &["rubygems_"], r"rubygems_{h}{40,}"),
    bound("crates_io_token", &["cio"], r"cio{a}{32}{e}"),
    bound("nuget_key", &["oy2"], r"oy2[a-z0-9]{43}{e}"),
    free("dockerhub_token", &["dckr_pat_", "dckr_oat_"], r"dckr_[po]at_{w}{20,}"),
    bound("jfrog_key", &["AKCp"], r"AKCp{a}{60,}"),
    bound("jfrog_key", &["cmVmdGtu"], r"cmVmdGtu{a}{50,}"),
    bound("vercel_token", &["vcp_", "vck_"], r"vc[pk]_{a}{40,}"),
    bound("neon_key", &["napi_"], r"napi_{a}{40,}"),
    bound("render_key", &["rnd_"], r"rnd_{a}{28,}"),
    free("sonarqube_token", &["sqp_", "squ_", "sqa_"], r"sq[pua]_{h}{40}"),
    free("sourcegraph_token", &["sgp_"], r"sgp_[a-f0-9_]{40,}"),
    free("buildkite_token", &["bkua_"], r"bkua_[a-z0-9]{40}"),
    free("circleci_token", &["CCIPAT_"], r"CCIPAT_[A-Za-z0-9_]{30,}"),
    free("pulumi_token", &["pul-"], r"pul-{h}{40}"),
    after("terraform_token", &[".atlasv1."], r"{a}{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}", 14..15),
    // Models and search
    free("anthropic_key", &["sk-ant-"], r"sk-ant-{w}{20,}"),
    bound("openrouter_key", &["sk-or-"], r"sk-or-{w}{32,}"),
    bound("openai_key", &["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"], r"sk-(?:proj|svcacct|admin|None)-{w}{20,}"),
    bound("openai_key", &["sk-"], r"sk-{a}{20,}{w}*"),
    bound("huggingface_token", &["hf_", "api_org_"], r"(?:hf|api_org)_{a}{30,}"),
    free("groq_key", &["gsk_"], r"gsk_{a}{40,}"),
    bound("replicate_token", &["r8_"], r"r8_{a}{37}"),
    free("perplexity_key", &["pplx-"], r"pplx-{a}{40,}"),
    bound("xai_key", &["xai-"], r"xai-{a}{60,}"),
    bound("nvidia_key", &["nvapi-"], r"nvapi-{w}{40,}"),
    bound("cerebras_key", &["csk-"], r"csk-{a}{40,}"),
    bound("together_key", &["tgp_v1_"], r"tgp_v1_{w}{40,}"),
    bound("elevenlabs_key", &["sk_"], r"sk_{h}{48}{e}"),
    bound("langfuse_key", &["sk-lf-"], r"sk-lf-[0-9a-f-]{36}"),
    bound("pinecone_key", &["pcsk_"], r"pcsk_{w}{40,}"),
    bound("jina_key", &["jina_"], r"jina_{w}{40,}"),
    bound("e2b_key", &["e2b_"], r"e2b_{h}{40}{e}"),
    free("apify_token", &["apify_api_"], r"apify_api_{a}{30,}"),
    free("langsmith_key", &["lsv2_"], r"lsv2_(?:pt|sk)_{h}{32}_{h}{10}"),
    free("tavily_key", &["tvly-"], r"tvly-{w}{20,}"),
    bound("firecrawl_key", &["fc-"], r"fc-{h}{32}{e}"),
    // Chat and mail
    free("slack_token", &["xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-"], r"xox(?:[abcdeoprs]-|e\.xox[bp]-)[A-Za-z0-9%.-]{15,}"),
    free("slack_token", &["xapp-", "xwfp-"], r"x(?:app|wfp)-[A-Za-z0-9-]{20,}"),
    after("telegram_bot_token", &[":AA"], r"[0-9]{8,10}:AA{w}{32,}", 8..11),
    free("sendgrid_key", &["SG."], r"SG\.{w}{16,}\.{w}{32,}"),
    bound("twilio_key", &["SK"], r"SK{h}{32}{e}"),
    bound("brevo_key", &["xkeysib-", "xsmtpsib-"], r"x(?:key|smtp)sib-{h}{64}-{a}{16}"),
    bound("resend_key", &["re_"], r"re_{a}{8}_{a}{20,}"),
    free("mailgun_key", &["key-"], r"key-{h}{32}{e}"),
    after("mailchimp_key", &["-us"], r"{h}{32}-us[0-9]{1,2}{e}", 32..33),
    // Payment and commerce
    free("stripe_key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_"], r"[sr]k_(?:live|test)_{a}{10,}"),
    free("stripe_webhook_secret", &["whsec_"], r"whsec_[A-Za-z0-9+/=]{24,}"),
    free("shopify_token", &["shpat_", "shpca_", "shppa_", "shpss_"], r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    free("square_token", &["sq0atp-", "sq0csp-", "sq0idp-"], r"sq0(?:atp|csp|idp)-{w}{22,}"),
    bound("facebook_token", &["EAA"], r"EAA{a}{60,}"),
    bound("plaid_token", &["access-sandbox-", "access-production-", "access-development-"], r"access-(?:sandbox|production|development)-[0-9a-f-]{36}"),
    // Work tools
    free("atlassian_token", &["ATATT3", "ATCTT3"], r"AT[AC]TT3[A-Za-z0-9_=-]{40,}"),
    free("linear_key", &["lin_api_", "lin_oauth_"], r"lin_(?:api|oauth)_{a}{32,}"),
    bound("notion_token", &["ntn_"], r"ntn_{a}{40,}"),
    bound("notion_token", &["secret_"], r"secret_{a}{43}{e}"),
    free("postman_key", &["PMAK-"], r"PMAK-{h}{24}-{h}{34}"),
    free("figma_token", &["figd_"], r"figd_{w}{36,}"),
    bound("airtable_token", &["pat"], r"pat{a}{14}\.{h}{64}"),
    bound("hubspot_token", &["pat-"], r"pat-[a-z]{2}[0-9]-[0-9a-f-]{36}"),
    free("contentful_token", &["CFPAT-"], r"CFPAT-{w}{40,}"),
    bound("dropbox_token", &["sl."], r"sl\.{w}{80,}"),
    // Operations
    free("grafana_token", &["glsa_", "glc_"], r"(?:glsa_{a}{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/=]{32,})"),
    free("newrelic_key", &["NRAK-", "NRII-", "NRJS-", "NRRA-"], r"NR(?:AK|II|JS|RA)-[A-Za-z0-9_-]{19,}"),
    free("sentry_token", &["sntrys_", "sntryu_"], r"sntry[su]_[A-Za-z0-9+/=_-]{40,}"),
    free("dynatrace_token", &["dt0c01."], r"dt0c01\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    free("databricks_token", &["dapi"], r"dapi{h}{32}(?:-[0-9])?{e}"),
    bound("posthog_key", &["phx_"], r"phx_{a}{40,}"),
    free("mongodb_atlas_secret", &["mdb_sa_sk_"], r"mdb_sa_sk_{w}{30,}"),
    bound("vault_token", &["hvs.", "hvb.", "hvr."], r"hv[sbr]\.{w}{20,}"),
    bound("doppler_token", &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."], r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?{a}{40,}"),
    free("tailscale_key", &["tskey-"], r"tskey-[a-z]+-{w}{16,}"),
    free("onepassword_token", &["ops_eyJ"], r"ops_eyJ[A-Za-z0-9+/=_-]{60,}"),
    free("age_secret_key", &["AGE-SECRET-KEY-1"], r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
];

struct Compiled {
    anchors: AhoCorasick,
    /// Shape of each anchor, as they stand in the automaton.
    shape: Vec<usize>,
    patterns: Vec<OnceLock<Option<Regex>>>,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    let pairs = SHAPES.iter().enumerate().flat_map(|(i, shape)| shape.anchors.iter().map(move |anchor| (i, *anchor)));
    let (shape, anchors): (Vec<usize>, Vec<&str>) = pairs.unzip();
    let anchors = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(anchors)
        .expect("a constant list of short literals");
    Compiled { anchors, shape, patterns: SHAPES.iter().map(|_| OnceLock::new()).collect() }
});

/// Compiles on first use: most runs meet a handful of shapes.
fn pattern(shape: usize) -> Option<&'static Regex> {
    let compile = || {
        let source = SHAPES[shape].pattern;
        let source = source.replace("{w}", "[A-Za-z0-9_-]").replace("{a}", "[A-Za-z0-9]").replace("{h}", "[0-9a-f]");
        let source = source.replace("{e}", "(?:[^A-Za-z0-9]|$)");
        RegexBuilder::new(&format!("^(?:{source})")).unicode(false).build().ok()
    };
    COMPILED.patterns[shape].get_or_init(compile).as_ref()
}

/// Calls `found` with type and span of every token whose anchor lies in `window`.
pub(crate) fn find(text: &str, window: Range<usize>, mut found: impl FnMut(&'static str, Range<usize>)) {
    let bytes = text.as_bytes();
    let mut covered = 0;
    for hit in COMPILED.anchors.find_overlapping_iter(&bytes[window.clone()]) {
        let index = COMPILED.shape[hit.pattern().as_usize()];
        let shape = &SHAPES[index];
        let anchor = window.start + hit.start();
        if anchor < covered {
            continue;
        }
        for before in shape.before.clone().rev() {
            let Some(start) = anchor.checked_sub(before) else { continue };
            if shape.bound && !starts_word(bytes, start) {
                continue;
            }
            let near = &bytes[start..bytes.len().min(start + LONGEST)];
            if let Some(hit) = pattern(index).and_then(|pattern| pattern.find(near)) {
                let mut end = start + hit.end();
                // What shows the end is not part of the token.
                end -= usize::from(shape.pattern.ends_with("{e}") && !bytes[end - 1].is_ascii_alphanumeric());
                // Then it must not be read once for each of them.
                covered = if hit.end() > SANE { end } else { covered };
                found(shape.kind, start..end);
                break;
            }
        }
    }
}

/// Whether a short word without `_` and `-` may hold the start of a token that goes on after a full stop or the like.
pub(crate) fn may_go_on(word: &[u8]) -> bool {
    matches!(word, [.., b'2', b'9'] | [.., b'v', b'1'] | [.., b'Q'])
        || word.windows(3).any(|part| matches!(part, b"TT3" | b"GR1"))
}

/// Whether a token may start here: not inside a word, unless what looks like one is an escape (`\n`, `%3D`).
pub(crate) fn starts_word(bytes: &[u8], at: usize) -> bool {
    let back = |n: usize| at.checked_sub(n).map(|i| bytes[i]);
    let Some(previous) = back(1) else { return true };
    if !previous.is_ascii_alphanumeric() {
        return true;
    }
    (back(2) == Some(b'\\') && matches!(previous, b'n' | b'r' | b't' | b'b' | b'f'))
        || (back(3) == Some(b'%') && previous.is_ascii_hexdigit() && back(2).is_some_and(|b| b.is_ascii_hexdigit()))
        // The last digit of `\u0022`.
        || (back(6) == Some(b'\\') && back(5) == Some(b'u') && previous.is_ascii_hexdigit())
}

/// The type of a value that is one token as a whole.
pub(crate) fn whole(value: &str) -> Option<&'static str> {
    let mut kind = None;
    find(value, 0..value.len(), |found, span| {
        if span == (0..value.len()) {
            kind = Some(found);
        }
    });
    kind
}

#[cfg(test)]
mod tests;
