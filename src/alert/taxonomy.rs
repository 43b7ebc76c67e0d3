//! Taxonomy tags of rules, read: OWASP's two lists, ATT&CK's and ATLAS's techniques, with their names.
//!
//! A rule writes `attack.T1567.002` or `atlas.AML.T0086`; Sigma's own rules write them in lower case and name tactics
//! (`attack.exfiltration`). Ids belong to a release of the framework, so all ids of one release are pinned in
//! `taxonomy/*.psv`, and the release is stated with them: a typing error cannot pass for a technique.

use std::sync::LazyLock;

/// Release of ATT&CK that the ids are of; the next one renumbers part of defence evasion.
pub const ATTACK_VERSION: &str = "18";
/// Release of ATLAS that the ids are of.
pub const ATLAS_VERSION: &str = "5.6.0";

/// One tag, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag<'a> {
    Tactic {
        version: &'static str,
        id: String,
        name: Option<&'static str>,
    },
    Technique {
        version: &'static str,
        id: String,
        name: Option<&'static str>,
    },
    /// `id` is the parent technique's.
    SubTechnique {
        version: &'static str,
        id: String,
        name: Option<&'static str>,
        sub_id: String,
        sub_name: Option<&'static str>,
    },
    /// A tag of another scheme (`owasp.mcp10`), split at its first dot.
    Other {
        scheme: &'a str,
        value: &'a str,
    },
}

/// Reads one tag.
pub fn read(tag: &str) -> Tag<'_> {
    let (scheme, value) = tag.split_once('.').unwrap_or(("", tag));
    let (version, prefix) = match scheme.to_ascii_lowercase().as_str() {
        "attack" => (ATTACK_VERSION, ""),
        "atlas" => (ATLAS_VERSION, "AML."),
        _ => return Tag::Other { scheme, value },
    };
    let id = value.to_ascii_uppercase();
    let number = id.strip_prefix(prefix).unwrap_or(&id);
    if let Some((name, id)) = tactic(prefix, &id) {
        return Tag::Tactic { version, id, name };
    }
    match number.strip_prefix('T').map(|digits| digits.split_once('.').unwrap_or((digits, ""))) {
        Some((main, "")) if is_number(main, 4) => {
            let id = format!("{prefix}T{main}");
            Tag::Technique { version, name: technique_name(&id), id }
        }
        Some((main, sub)) if is_number(main, 4) && is_number(sub, 3) => {
            let id = format!("{prefix}T{main}");
            let sub_id = format!("{id}.{sub}");
            Tag::SubTechnique { version, name: technique_name(&id), id, sub_name: technique_name(&sub_id), sub_id }
        }
        _ => Tag::Other { scheme, value },
    }
}

/// The name of a technique or sub-technique, by its id in upper case.
pub fn technique_name(id: &str) -> Option<&'static str> {
    let framework = if id.starts_with("AML.") { Framework::Atlas } else { Framework::Attack };
    framework.title(id)
}

/// A taxonomy with pinned ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framework {
    OwaspMcp,
    OwaspAsi,
    Atlas,
    Attack,
}

impl Framework {
    /// All of them, in the order in which tables show them.
    pub const ALL: [Self; 4] = [Self::OwaspMcp, Self::OwaspAsi, Self::Atlas, Self::Attack];

    /// The taxonomy's name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwaspMcp => "owasp.mcp",
            Self::OwaspAsi => "owasp.asi",
            Self::Atlas => "atlas",
            Self::Attack => "attack",
        }
    }

    /// Name and release for people.
    pub fn title_text(self) -> &'static str {
        match self {
            Self::OwaspMcp => "OWASP MCP Top 10 (2025)",
            Self::OwaspAsi => "OWASP Top 10 for Agentic Applications (2026)",
            Self::Atlas => "MITRE ATLAS 5.6.0",
            Self::Attack => "MITRE ATT&CK Enterprise 18",
        }
    }

    /// Ids and titles, sorted by id: `mcp01`, `asi01`, `AML.T0086`, `T1567.002`.
    pub fn ids(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::OwaspMcp => &MCP,
            Self::OwaspAsi => &ASI,
            Self::Atlas => &ATLAS,
            Self::Attack => &ATTACK,
        }
    }

    /// The title of an id.
    pub fn title(self, id: &str) -> Option<&'static str> {
        let ids = self.ids();
        ids.binary_search_by_key(&id, |(known, _)| known).ok().map(|at| ids[at].1)
    }

    /// The tag that names this id.
    pub fn tag(self, id: &str) -> String {
        match self {
            Self::OwaspMcp | Self::OwaspAsi => format!("owasp.{id}"),
            Self::Atlas | Self::Attack => format!("{}.{id}", self.as_str()),
        }
    }
}

/// The taxonomy and the id that a tag names, if that id is pinned. `any_case`: as Sigma's rules write them.
pub fn pinned(tag: &str, any_case: bool) -> Option<(Framework, &'static str)> {
    let known = |framework: Framework, id: &str| {
        let ids = framework.ids();
        ids.binary_search_by_key(&id, |(known, _)| known).ok().map(|at| (framework, ids[at].0))
    };
    let (scheme, id) = tag.split_once('.')?;
    let id = match (any_case, scheme) {
        (true, "owasp") => id.to_ascii_lowercase(),
        (true, _) => id.to_ascii_uppercase(),
        (false, _) => id.to_owned(),
    };
    match scheme {
        "owasp" => known(Framework::OwaspMcp, &id).or_else(|| known(Framework::OwaspAsi, &id)),
        "atlas" => known(Framework::Atlas, &id),
        "attack" => known(Framework::Attack, &id),
        _ => None,
    }
}

/// Says what is wrong with a rule's tag.
///
/// # Errors
/// Another scheme, or an id that the pinned release does not have.
pub fn check(tag: &str) -> Result<(), String> {
    if pinned(tag, false).is_some() || matches!(read(tag), Tag::Tactic { name: Some(_), .. }) {
        return Ok(());
    }
    let (framework, near) = match tag.split_once('.').map_or((tag, ""), |parts| parts) {
        ("owasp", id) if id.to_ascii_lowercase().starts_with("asi") => (Framework::OwaspAsi, id.to_ascii_lowercase()),
        ("owasp", id) => (Framework::OwaspMcp, id.to_ascii_lowercase()),
        ("atlas", id) => (Framework::Atlas, format!("AML.{}", id.to_ascii_uppercase().trim_start_matches("AML."))),
        ("attack", id) => (Framework::Attack, id.to_ascii_uppercase()),
        _ => return Err(format!("tag `{tag}`: expected owasp.mcpNN, owasp.asiNN, atlas.AML.TNNNN or attack.TNNNN")),
    };
    let spelled = framework.title(&near).map(|_| format!("; write `{}`", framework.tag(&near)));
    Err(format!("tag `{tag}`: no such id in {}{}", framework.title_text(), spelled.unwrap_or_default()))
}

fn list(text: &'static str, prefix: &'static str) -> Vec<(&'static str, &'static str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('|')).filter(|(id, _)| id.starts_with(prefix)).collect()
}

type List = LazyLock<Vec<(&'static str, &'static str)>>;
static MCP: List = List::new(|| list(include_str!("taxonomy/owasp.psv"), "mcp"));
static ASI: List = List::new(|| list(include_str!("taxonomy/owasp.psv"), "asi"));
static ATLAS: List = List::new(|| list(include_str!("taxonomy/atlas.psv"), "AML."));
static ATTACK: List = List::new(|| list(include_str!("taxonomy/attack.psv"), "T"));

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())
}

/// A tactic by its id, or (ATT&CK) by its short name as Sigma writes it.
fn tactic(prefix: &str, upper: &str) -> Option<(Option<&'static str>, String)> {
    let dashed = upper.replace(['_', ' '], "-");
    if prefix.is_empty() {
        let known =
            TACTICS.iter().find(|(id, name)| *id == upper || name.to_ascii_uppercase().replace(' ', "-") == dashed);
        if let Some((id, name)) = known {
            return Some((Some(name), (*id).to_owned()));
        }
    }
    let number = upper.strip_prefix(prefix).unwrap_or(upper).strip_prefix("TA")?;
    is_number(number, 4).then(|| (None, format!("{prefix}TA{number}")))
}

const TACTICS: &[(&str, &str)] = &[
    ("TA0001", "Initial Access"),
    ("TA0002", "Execution"),
    ("TA0003", "Persistence"),
    ("TA0004", "Privilege Escalation"),
    ("TA0005", "Defense Evasion"),
    ("TA0006", "Credential Access"),
    ("TA0007", "Discovery"),
    ("TA0008", "Lateral Movement"),
    ("TA0009", "Collection"),
    ("TA0010", "Exfiltration"),
    ("TA0011", "Command and Control"),
    ("TA0040", "Impact"),
    ("TA0042", "Resource Development"),
    ("TA0043", "Reconnaissance"),
];
