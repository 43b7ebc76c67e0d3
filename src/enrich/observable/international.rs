//! Host names with letters of other scripts: how far they go in a text, and the name under which DNS has them (RFC 5891).

use url::Host;

/// Where the host that starts at `start` ends, if it has such letters.
pub(crate) fn host_end(text: &str, start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let inside = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '.');
    let length = rest.chars().take(253).take_while(inside).map(char::len_utf8).sum();
    let host = rest[..length].trim_end_matches(['.', '-']);
    let (before, last) = host.rsplit_once('.')?;
    // Scripts that put no space between words go on behind the name (`example.comを見る`), so its end has to be of one script.
    let is_whole = match last.is_ascii() {
        true => last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic()) && !before.is_ascii(),
        false => !last.chars().any(|c| c.is_ascii()) && !before.starts_with(|c: char| c.is_ascii()),
    };
    is_whole.then_some(start + host.len())
}

/// The name in DNS of a host that is not ASCII.
pub(crate) fn to_ascii(host: &str) -> Option<String> {
    if host.is_ascii() {
        return None;
    }
    match Host::parse(host).ok()? {
        Host::Domain(name) => Some(name),
        _ => None,
    }
}
