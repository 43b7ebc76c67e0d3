//! Passwords that options of commands carry without a name: `curl -u user:password`, `mysql -ppassword`, `sshpass -p password`.

use super::Scanner;
use crate::enrich::secret::{shapes, value};
use memchr::memmem;

/// How far before an option its command is looked for.
const BEFORE: usize = 400;
/// Longest password that is read.
const LONGEST: usize = 256;

impl Scanner<'_, '_> {
    /// Curl's `-u name:password`, where `colon` follows the name.
    pub(super) fn user_option(&mut self, colon: usize) {
        let bytes = self.text.as_bytes();
        let in_name = |b: &&u8| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b':' | b'=' | b'\\');
        let name = bytes[..colon].iter().rev().take(128).take_while(in_name).count();
        let (before, quote) = unquoted(&bytes[..colon - name]);
        let is_option = [&b"-u "[..], b"--user ", b"--user=", b"--proxy-user "].iter().any(|o| before.ends_with(o));
        if name > 0 && is_option && is_of(before, &[b"curl"]) {
            self.option_value(colon + 1, quote);
        }
    }

    /// `-p` of MySQL's programs and of sshpass: the word from `start` to `end`.
    pub(super) fn password_option(&mut self, start: usize, end: usize) {
        let bytes = self.text.as_bytes();
        let before = &bytes[..start];
        if !before.last().is_some_and(u8::is_ascii_whitespace) {
            return;
        }
        let is_bare = end == start + 2;
        let quote = |at: usize| bytes.get(at).copied().filter(|b| matches!(b, b'"' | b'\''));
        if is_of(before, &[b"mysql", b"mariadb"]) {
            match quote(end).filter(|_| is_bare) {
                Some(quote) => self.option_value(end + 1, Some(quote)),
                // Alone it asks for the password.
                None if is_bare => {}
                None => self.option_value(start + 2, None),
            }
        } else if is_of(before, &[b"sshpass"]) {
            let at = if is_bare { end + usize::from(bytes.get(end) == Some(&b' ')) } else { start + 2 };
            let quote = quote(at);
            self.option_value(at + usize::from(quote.is_some()), quote);
        }
    }

    fn option_value(&mut self, start: usize, quote: Option<u8>) {
        let text = self.text;
        let inside = |b: &&u8| match quote {
            Some(quote) => **b != quote && !matches!(b, b'\n' | b'\\'),
            None => {
                !b.is_ascii_whitespace()
                    && !matches!(b, b'"' | b'\'' | b'\\' | b';' | b'|' | b'&' | b')' | b'`' | b'<' | b'>')
            }
        };
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        let end = start + rest.iter().take(LONGEST).take_while(inside).count();
        let Some(password) = text.get(start..end) else { return };
        let is_variable = password.starts_with(['$', '<', '{', '%', '[', '(']);
        if password.len() >= 6 && !is_variable && !value::is_placeholder(password) {
            self.finds.secret(shapes::whole(password).unwrap_or("password"), text, start..end);
        }
    }
}

/// What stands before an opening quote, and the quote; it may be escaped.
fn unquoted(bytes: &[u8]) -> (&[u8], Option<u8>) {
    match bytes {
        [before @ .., quote @ (b'"' | b'\'')] => {
            let slashes = before.iter().rev().take_while(|b| **b == b'\\').count();
            (&before[..before.len() - slashes], Some(*quote))
        }
        _ => (bytes, None),
    }
}

/// Whether an option at the end of `before` belongs to one of these commands.
fn is_of(before: &[u8], commands: &[&[u8]]) -> bool {
    let near = &before[before.len().saturating_sub(BEFORE)..];
    let from = near.iter().rposition(|b| matches!(b, b'\n' | b';' | b'|' | b'&')).map_or(0, |end| end + 1);
    commands.iter().any(|command| memmem::find(&near[from..], command).is_some())
}
