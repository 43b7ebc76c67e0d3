//! Taxonomy tags of rules, read: ATT&CK and ATLAS tactics and techniques with their names.
//!
//! A rule writes `attack.T1567.002`, `attack.exfiltration` or `atlas.AML.T0086`, in any case (Sigma's own
//! rules write lower case). The tables name what detections over tool calls can see; an id that they lack is
//! passed on without a name. Ids belong to a release of the framework, so the release is stated with them.

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
    TECHNIQUES.binary_search_by_key(&id, |(known, _)| known).ok().map(|at| TECHNIQUES[at].1)
}

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

/// Sorted by id.
const TECHNIQUES: &[(&str, &str)] = &[
    ("AML.T0006", "Active Scanning"),
    ("AML.T0010", "AI Supply Chain Compromise"),
    ("AML.T0010.005", "AI Agent Tool"),
    ("AML.T0011", "User Execution"),
    ("AML.T0011.002", "Poisoned AI Agent Tool"),
    ("AML.T0012", "Valid Accounts"),
    ("AML.T0024", "Exfiltration via AI Inference API"),
    ("AML.T0025", "Exfiltration via Cyber Means"),
    ("AML.T0029", "Denial of AI Service"),
    ("AML.T0034", "Cost Harvesting"),
    ("AML.T0034.000", "Excessive Queries"),
    ("AML.T0034.001", "Resource-Intensive Queries"),
    ("AML.T0034.002", "Agentic Resource Consumption"),
    ("AML.T0036", "Data from Information Repositories"),
    ("AML.T0037", "Data from Local System"),
    ("AML.T0048", "External Harms"),
    ("AML.T0049", "Exploit Public-Facing Application"),
    ("AML.T0050", "Command and Scripting Interpreter"),
    ("AML.T0051", "LLM Prompt Injection"),
    ("AML.T0051.000", "Direct"),
    ("AML.T0051.001", "Indirect"),
    ("AML.T0051.002", "Triggered"),
    ("AML.T0053", "AI Agent Tool Invocation"),
    ("AML.T0054", "LLM Jailbreak"),
    ("AML.T0055", "Unsecured Credentials"),
    ("AML.T0056", "Extract LLM System Prompt"),
    ("AML.T0057", "LLM Data Leakage"),
    ("AML.T0061", "LLM Prompt Self-Replication"),
    ("AML.T0067", "LLM Trusted Output Components Manipulation"),
    ("AML.T0068", "LLM Prompt Obfuscation"),
    ("AML.T0069", "Discover LLM System Information"),
    ("AML.T0070", "RAG Poisoning"),
    ("AML.T0071", "False RAG Entry Injection"),
    ("AML.T0072", "Reverse Shell"),
    ("AML.T0073", "Impersonation"),
    ("AML.T0074", "Masquerading"),
    ("AML.T0075", "Cloud Service Discovery"),
    ("AML.T0077", "LLM Response Rendering"),
    ("AML.T0080", "AI Agent Context Poisoning"),
    ("AML.T0080.000", "Memory"),
    ("AML.T0080.001", "Thread"),
    ("AML.T0081", "Modify AI Agent Configuration"),
    ("AML.T0082", "RAG Credential Harvesting"),
    ("AML.T0083", "Credentials from AI Agent Configuration"),
    ("AML.T0084", "Discover AI Agent Configuration"),
    ("AML.T0084.000", "Embedded Knowledge"),
    ("AML.T0084.001", "Tool Definitions"),
    ("AML.T0084.002", "Activation Triggers"),
    ("AML.T0084.003", "Call Chains"),
    ("AML.T0085", "Data from AI Services"),
    ("AML.T0085.000", "RAG Databases"),
    ("AML.T0085.001", "AI Agent Tools"),
    ("AML.T0086", "Exfiltration via AI Agent Tool Invocation"),
    ("AML.T0089", "Process Discovery"),
    ("AML.T0090", "OS Credential Dumping"),
    ("AML.T0091", "Use Alternate Authentication Material"),
    ("AML.T0091.000", "Application Access Token"),
    ("AML.T0092", "Manipulate User LLM Chat History"),
    ("AML.T0093", "Prompt Infiltration via Public-Facing Application"),
    ("AML.T0094", "Delay Execution of LLM Instructions"),
    ("AML.T0096", "AI Service API"),
    ("AML.T0098", "AI Agent Tool Credential Harvesting"),
    ("AML.T0099", "AI Agent Tool Data Poisoning"),
    ("AML.T0100", "AI Agent Clickbait"),
    ("AML.T0101", "Data Destruction via AI Agent Tool Invocation"),
    ("AML.T0102", "Generate Malicious Commands"),
    ("AML.T0103", "Deploy AI Agent"),
    ("AML.T0104", "Publish Poisoned AI Agent Tool"),
    ("AML.T0105", "Escape to Host"),
    ("AML.T0106", "Exploitation for Credential Access"),
    ("AML.T0107", "Exploitation for Defense Evasion"),
    ("AML.T0108", "AI Agent"),
    ("AML.T0109", "AI Supply Chain Rug Pull"),
    ("AML.T0110", "AI Agent Tool Poisoning"),
    ("AML.T0111", "AI Supply Chain Reputation Inflation"),
    ("AML.T0112", "Machine Compromise"),
    ("AML.T0112.000", "Local AI Agent"),
    ("AML.T0112.001", "AI Artifacts"),
    ("T1005", "Data from Local System"),
    ("T1020", "Automated Exfiltration"),
    ("T1027", "Obfuscated Files or Information"),
    ("T1030", "Data Transfer Size Limits"),
    ("T1036", "Masquerading"),
    ("T1041", "Exfiltration Over C2 Channel"),
    ("T1046", "Network Service Discovery"),
    ("T1048", "Exfiltration Over Alternative Protocol"),
    ("T1053", "Scheduled Task/Job"),
    ("T1059", "Command and Scripting Interpreter"),
    ("T1070", "Indicator Removal"),
    ("T1071", "Application Layer Protocol"),
    ("T1074", "Data Staged"),
    ("T1078", "Valid Accounts"),
    ("T1082", "System Information Discovery"),
    ("T1083", "File and Directory Discovery"),
    ("T1087", "Account Discovery"),
    ("T1098", "Account Manipulation"),
    ("T1110", "Brute Force"),
    ("T1114", "Email Collection"),
    ("T1119", "Automated Collection"),
    ("T1132", "Data Encoding"),
    ("T1133", "External Remote Services"),
    ("T1136", "Create Account"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1195", "Supply Chain Compromise"),
    ("T1195.001", "Compromise Software Dependencies and Development Tools"),
    ("T1195.002", "Compromise Software Supply Chain"),
    ("T1199", "Trusted Relationship"),
    ("T1213", "Data from Information Repositories"),
    ("T1485", "Data Destruction"),
    ("T1486", "Data Encrypted for Impact"),
    ("T1496", "Resource Hijacking"),
    ("T1498", "Network Denial of Service"),
    ("T1499", "Endpoint Denial of Service"),
    ("T1528", "Steal Application Access Token"),
    ("T1530", "Data from Cloud Storage"),
    ("T1539", "Steal Web Session Cookie"),
    ("T1546", "Event Triggered Execution"),
    ("T1547", "Boot or Logon Autostart Execution"),
    ("T1550", "Use Alternate Authentication Material"),
    ("T1550.001", "Application Access Token"),
    ("T1552", "Unsecured Credentials"),
    ("T1552.001", "Credentials In Files"),
    ("T1555", "Credentials from Password Stores"),
    ("T1557", "Adversary-in-the-Middle"),
    ("T1562", "Impair Defenses"),
    ("T1562.001", "Disable or Modify Tools"),
    ("T1562.008", "Disable or Modify Cloud Logs"),
    ("T1565", "Data Manipulation"),
    ("T1567", "Exfiltration Over Web Service"),
    ("T1567.002", "Exfiltration to Cloud Storage"),
    ("T1567.004", "Exfiltration Over Webhook"),
    ("T1572", "Protocol Tunneling"),
    ("T1574", "Hijack Execution Flow"),
    ("T1611", "Escape to Host"),
    ("T1657", "Financial Theft"),
];
