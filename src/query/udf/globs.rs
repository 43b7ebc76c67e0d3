//! Patterns of file names that stand for a well-known name: `~/.ss*/id_*`, `/etc/pass?d`.
//!
//! Nobody needs a pattern for one such name; whoever writes one does not want the name to stand in a log.

use super::{Pattern, pattern};
use std::borrow::Cow;

/// Names that patterns are tried on, the first that fits counts.
const NAMES: &[&str] = &[
    ".ssh",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "authorized_keys",
    ".aws",
    "credentials",
    ".gnupg",
    ".env",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".git-credentials",
    ".kube",
    ".docker",
    ".bash_history",
    ".zsh_history",
    "shadow",
    "passwd",
    "sudoers",
    "cat",
    "curl",
    "wget",
    "bash",
    "base64",
    "python3",
    "rm",
];

/// Characters of a pattern that stand for themselves, at least: `*` and `.*` stand for anything.
const MIN_PLAIN: usize = 2;

/// Stars of a pattern that is tried: each of them takes its time.
const MAX_STARS: usize = 3;

/// One step of a path with a pattern in it.
static STEP: Pattern = Pattern::new(|| pattern(r"[\w.~-]*(?:[*?]|\[[\w-]{1,8}\])[\w.*?\[\]-]*"));

/// The text with well-known names in place of the patterns that stand for them. `None` if there are none.
pub(super) fn named(text: &str) -> Option<String> {
    if !text.contains(['*', '?', '[']) {
        return None;
    }
    let name = |step: &str| {
        let plain = step.chars().filter(|c| !matches!(c, '*' | '?')).count();
        let stars = step.matches('*').count();
        let is_name = plain >= MIN_PLAIN && stars <= MAX_STARS && !step.starts_with('*');
        NAMES.iter().find(|name| is_name && fits(step.as_bytes(), name.as_bytes()))
    };
    let named = STEP.replace_all(text, |found: &regex::Captures<'_>| {
        name(&found[0]).map_or_else(|| found[0].to_owned(), |name| (*name).to_owned())
    });
    match named {
        Cow::Owned(named) if named != text => Some(named),
        _ => None,
    }
}

/// Whether a shell's pattern stands for a name.
fn fits(step: &[u8], name: &[u8]) -> bool {
    match step {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|at| fits(rest, &name[at..])),
        [b'?', rest @ ..] => !name.is_empty() && fits(rest, &name[1..]),
        [b'[', rest @ ..] if rest.contains(&b']') => {
            let (set, rest) = rest.split_at(rest.iter().position(|b| *b == b']').unwrap_or_default());
            name.split_first().is_some_and(|(first, name)| set.contains(first) && fits(&rest[1..], name))
        }
        [byte, rest @ ..] => name.first() == Some(byte) && fits(rest, &name[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn patterns_stand_for_the_names_that_they_fit() {
        assert_eq!(named("cat ~/.ss*/id_*").as_deref(), Some("cat ~/.ssh/id_rsa"));
        assert_eq!(named("/b?n/c[a]t .e*").as_deref(), Some("/b?n/cat .env"));
        for same in ["ls *", "ls .*", "ls src/*.rs", "what?", "rm -rf build/*", "cargo test [a]", "id_rsa"] {
            assert_eq!(named(same), None, "{same}");
        }
    }
}
