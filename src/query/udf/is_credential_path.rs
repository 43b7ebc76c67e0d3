//! `is_credential_path(path)`: whether a path is one where keys, tokens or passwords customarily lie.
//!
//! By name only; nothing is opened. The list is one pattern per kind of file, so a kind is added in one line.

use super::{About, Body, Function, any_of, globs};
use datafusion::logical_expr::ScalarUDF;
use regex::RegexSet;
use std::sync::LazyLock;

const ABOUT: About = About {
    syntax: "is_credential_path(path)",
    text: "Whether a file path (or file URL) customarily holds credentials: SSH and GPG keys, cloud and package \
           registry credentials, .env, kubeconfig, Docker logins, /etc/shadow, browser password stores, key chains, \
           Terraform state, service account files, wallets, agents' and MCP clients' configurations and tokens. \
           Samples (.env.example) and public keys do not count.",
    example: "SELECT call_id, value FROM observables WHERE type = 'file_path' AND is_credential_path(value)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::remembering("is_credential_path", &ABOUT, Body::Bool(is_credential_path))
}

/// Matched against the path in lower case with `/` as the only separator and a `/` in front.
const PATTERNS: &[&str] = &[
    // SSH, GPG, X.509, PuTTY, KeePass
    r"/\.ssh/?$",
    r"/\.ssh/[^/]+$",
    r"/id_(rsa|dsa|ecdsa|ed25519|xmss)(_sk)?$",
    r"/ssh_host_[a-z0-9]+_key$",
    r"/\.gnupg(/|$)",
    r"/\.password-store(/|$)",
    r"\.(ppk|kdbx?|p12|pfx|jks|keystore|keytab|agilekeychain|ovpn)$",
    r"/(privkey|private|server|client|tls|ssl|ca|signing|deploy|host)[^/]*\.(key|pem)$",
    r"[._-]key\.(pem|json|txt|der)$",
    r"/private(_|-)?key[^/]*$",
    // Clouds
    r"/\.aws/(credentials|config|sso/cache|cli/cache)",
    r"/gcloud/(application_default_credentials\.json|credentials\.db|access_tokens\.db|legacy_credentials)",
    r"/\.azure/(accesstokens\.json|msal_token_cache|service_principal_entries|azureprofile\.json)",
    r"/\.(oci/config|aliyun/config\.json|bluemix/config\.json|config/doctl/config\.yaml)$",
    r"/\.config/(scw/config\.yaml|hcloud/cli\.toml|heroku|flyctl|fly/config\.yml)",
    r"/\.boto$",
    r"/\.s3cfg$",
    r"/rclone\.conf$",
    // Service accounts, client secrets, files named after what they hold
    r"service[-_]?account[^/]*\.json$",
    r"client[-_]?secrets?[^/]*\.json$",
    r"/[^/]*credentials?\.(json|ya?ml|toml|xml|ini|txt|csv|db|properties)$",
    r"/[^/]*secrets?\.(json|ya?ml|toml|xml|ini|txt|env|properties)$",
    r"/[^/]*passwords?\.(json|ya?ml|txt|csv|kdbx|xlsx?|docx?|md)$",
    r"/(run|var/run)/secrets(/|$)",
    r"/oauth_creds\.json$",
    r"/token\.(json|pickle)$",
    // Environment files, and the environment of a process
    r"/\.env(rc)?$",
    r"/\.env\.[a-z0-9_.-]+$",
    r"/[a-z0-9_-]+\.env$",
    r"/proc/[^/]+/environ$",
    // Package registries, source hosts, databases, mail
    r"/[._]netrc$",
    r"/\.(npmrc|yarnrc|yarnrc\.yml|pypirc|dockercfg|git-credentials|vault-token|htpasswd)$",
    r"/\.(gem/credentials|cargo/credentials(\.toml)?|composer/auth\.json)$",
    r"/\.(m2/settings(-security)?\.xml|gradle/gradle\.properties)$",
    r"/\.(pgpass|mylogin\.cnf|my\.cnf|msmtprc|fetchmailrc)$",
    r"/\.config/(gh/hosts\.yml|hub|glab-cli/config\.yml|git/credentials|pip/pip\.conf)$",
    r"/pgpass\.conf$",
    // Containers, infrastructure as code
    r"/\.kube(/config)?$",
    r"/[^/]*kubeconfig[^/]*$",
    r"/etc/kubernetes/[^/]*\.conf$",
    r"/etc/rancher/k3s/k3s\.yaml$",
    r"/\.docker/config\.json$",
    r"/containers/auth\.json$",
    r"\.tfstate(\.backup)?$",
    r"\.tfvars(\.json)?$",
    r"/\.terraformrc$",
    r"/credentials\.tfrc\.json$",
    r"/\.ansible_vault[^/]*$",
    // Operating systems
    r"/etc/(g?shadow-?|master\.passwd|security/opasswd|krb5\.keytab)$",
    r"/windows/system32/config/(sam|security|system)$",
    r"/ntds\.dit$",
    r"/(microsoft/(credentials|protect|vault))(/|$)",
    r"/unattend\.xml$",
    r"/krb5cc_[^/]*$",
    // Browsers, key chains
    r"/(login data|login data for account|web data|cookies|local state)$",
    r"/(logins\.json|key[34]\.db|signons\.sqlite|cookies\.sqlite)$",
    r"/library/keychains(/|$)",
    r"\.keychain(-db)?$",
    r"/\.local/share/keyrings(/|$)",
    // Wallets
    r"/wallet\.(dat|json)$",
    r"/\.(bitcoin|electrum/wallets|ethereum/keystore|config/solana/id\.json|monero)(/|$)",
    r"/\.config/solana/id\.json$",
    r"/(seed|mnemonic|recovery)[-_ ]?(phrase|words?)[^/]*$",
    // Agents and MCP clients: tokens in the environment of configured servers, logins of the agents themselves
    r"/claude_desktop_config\.json$",
    r"/\.claude\.json$",
    r"/\.claude/(\.credentials\.json|settings(\.local)?\.json)$",
    r"/\.(cursor|vscode|roo|kiro/settings|copilot|lmstudio)/mcp(-config)?\.json$",
    r"/\.(gemini/antigravity|codeium/windsurf)/mcp(_config)?\.json$",
    r"/(\.?mcp|mcp_config|mcp_settings|cline_mcp_settings)\.json$",
    r"/\.mcp-auth(/|$)",
    r"/\.codex/(auth\.json|config\.toml)$",
    r"/\.gemini/(settings\.json|google_accounts\.json|mcp-oauth-tokens\.json)$",
    r"/github-copilot/(hosts|apps)\.json$",
    r"/\.continue/config\.(json|ya?ml)$",
    r"/\.(huggingface|cache/huggingface)/token$",
    r"/\.config/(openai|anthropic)/[^/]+$",
];

/// What the patterns above match although it holds no secret.
const EXCEPTIONS: &[&str] = &[
    r"\.pub$",
    r"/\.ssh/(known_hosts|authorized_keys|config)[^/]*$",
    r"/\.env\.(example|sample|template|dist|defaults?|schema|test)$",
    r"/(example|sample|template)\.env$",
];

fn is_credential_path(path: &str) -> bool {
    static SETS: LazyLock<[RegexSet; 2]> = LazyLock::new(|| [PATTERNS, EXCEPTIONS].map(any_of));
    let path = path.trim().trim_matches(['"', '\'']);
    let path = path.strip_prefix("file://").unwrap_or(path);
    let mut normal = path.to_lowercase();
    if normal.contains('\\') {
        normal = normal.replace('\\', "/");
    }
    if !normal.starts_with('/') {
        normal.insert(0, '/');
    }
    if normal.contains('%') {
        normal = normal.replace("%20", " ").replace("%2e", ".").replace("%2f", "/");
    }
    // `a//b` and `a/./b` are `a/b` to every file system.
    while normal.contains("//") {
        normal = normal.replace("//", "/");
    }
    if normal.contains("/.") {
        normal = resolved(&normal);
    }
    let [patterns, exceptions] = &*SETS;
    let holds = |path: &str| patterns.is_match(path) && !exceptions.is_match(path);
    holds(&normal) || globs::named(&normal).is_some_and(|named| holds(&named))
}

/// An absolute path without steps that lead to where they start.
fn resolved(path: &str) -> String {
    let mut steps = Vec::new();
    for step in path.split('/') {
        match step {
            "." => {}
            // Above the root there is the root.
            ".." if steps.len() > 1 => {
                steps.pop();
            }
            ".." => {}
            _ => steps.push(step),
        }
    }
    steps.join("/")
}

#[cfg(test)]
mod tests {
    use super::is_credential_path;

    #[test]
    fn knows_where_credentials_lie() {
        for path in [
            "~/.aws/credentials",
            "/home/ana/.ssh/id_ed25519",
            "C:\\Users\\ana\\.ssh\\id_rsa",
            ".env",
            "app/.env.production",
            "prod.env",
            "/etc//shadow",
            "~/.aws/././credentials",
            "/etc/ssl/../shadow",
            "..%2f..%2fetc%2fshadow",
            "/proc/self/environ",
            "file:///root/.kube/config",
            "/root/.docker/config.json",
            "infra/terraform.tfstate",
            "/Users/a/Library/Application Support/Google/Chrome/Default/Login Data",
            "/Users/a/Library/Keychains/login.keychain-db",
            "keys/my-service-account.json",
            "~/Library/Application Support/Claude/claude_desktop_config.json",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "wallet.dat",
            "~/.ss*/id_*",
            "/etc/shad?w",
        ] {
            assert!(is_credential_path(path), "{path}");
        }
        for path in [
            "~/.ssh/id_rsa.pub",
            "~/.ssh/known_hosts",
            ".env.example",
            "src/environment.ts",
            "README.md",
            "/etc/passwd",
            "docs/credentials.md",
            "slides.key",
            "keyboard.json",
            "",
        ] {
            assert!(!is_credential_path(path), "{path}");
        }
    }
}
