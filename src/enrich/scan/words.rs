//! What a word can be by itself: a digest, a wallet, an account, a token, the start of a private key.

use super::{CLASS, DIGIT, INNER, JOINER, LONG, LOWER, NOT_HEX, Scanner, UPPER, WORD, encoded};
use crate::enrich::observable::money;
use crate::enrich::scan::Look;
use crate::enrich::secret::{self, Secret, named, shapes, value};

/// Shortest token that may fall apart into short words.
const SHORTEST: usize = 20;

impl Scanner<'_, '_> {
    /// Reads the word around a digit, `_`, `-` or the middle of many letters; gives where to go on.
    pub(super) fn on_word(&mut self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let class = |b: &u8| CLASS[usize::from(*b)];
        // What has been read is not read again, so a text of one endless word stays linear.
        let mut start = at - bytes[self.read..at].iter().rev().take_while(|b| class(b) & WORD != 0).count();
        // The letter of an escape (`\n`) that stands in text which was not decoded.
        if start > 0 && start < at && bytes[start - 1] == b'\\' && matches!(bytes[start], b'n' | b't' | b'r') {
            start += 1;
        }
        let mut seen = bytes[start..at].iter().fold(0, |seen, b| seen | class(b));
        let mut end = at;
        for byte in &bytes[at..] {
            if class(byte) & WORD == 0 {
                break;
            }
            seen |= class(byte);
            end += 1;
        }
        self.read = end;
        self.word = start..end;
        let word = &bytes[start..end];
        if word.len() >= 10 && word.ends_with(b"-----BEGIN") {
            self.private_key();
            return end;
        }
        if word.starts_with(b"--") && self.secrets() && bytes.get(end) == Some(&b' ') {
            self.assigned(start + 2..end, end..end + 1);
        }
        if word.starts_with(b"-p") && self.secrets() {
            self.password_option(start, end);
        }
        if word.len() >= 8 && self.secrets() && matches!(bytes[..start], [.., b'r' | b'R' | b'c' | b'C', b' ']) {
            self.authorization(start);
        }
        if word.len() < LONG {
            if self.goes_on(end, SHORTEST - word.len())
                && self.secrets()
                && (seen & JOINER != 0 || shapes::may_go_on(word))
            {
                self.shapes(start, end);
            }
            if seen & (UPPER | DIGIT | LOWER) == UPPER | DIGIT && word.len() >= 4 && start >= self.taken {
                self.iban(start);
            }
            return end;
        }
        let only_hex = seen & (NOT_HEX | JOINER) == 0;
        let uuid = word.len() == 36 && seen & NOT_HEX == 0 && word[8] == b'-' && word[13] == b'-';
        if only_hex && money::is_digest(word) {
            self.observe("hash", start..end);
        } else if seen & DIGIT != 0 && money::is_wallet(word) {
            self.observe("wallet", start..end);
        } else if seen & (UPPER | DIGIT | LOWER) == UPPER | DIGIT && start >= self.taken {
            self.iban(start);
        }
        // Identifiers in small letters make most long words of program text; tokens have digits or capitals.
        if !only_hex && !uuid && self.secrets() {
            if seen & (UPPER | DIGIT) != 0 || word.len() >= 30 {
                self.tokens(start, end);
            } else if self.goes_on(end, SHORTEST - LONG) {
                self.shapes(start, end);
            }
        }
        if self.depth < encoded::MAX_DEPTH
            && seen & (LOWER | UPPER | DIGIT) == LOWER | UPPER | DIGIT
            && word.len() >= 24
            && start >= self.base64
        {
            self.base64(start, end);
        }
        end
    }

    /// Whether the word that ends at `end` is only the start of something longer: some tokens hold a `+` or a full stop,
    /// and the part with the anchor may be short.
    fn goes_on(&self, end: usize, least: usize) -> bool {
        let class = |b: &u8| CLASS[usize::from(*b)];
        let rest = &self.text.as_bytes()[end..];
        rest.first().is_some_and(|b| class(b) & INNER != 0)
            && rest.iter().take(least).take_while(|b| class(b) & (WORD | INNER) != 0).count() == least
    }

    fn iban(&mut self, start: usize) {
        if self.text.as_bytes()[start..].iter().take(4).map(u8::is_ascii_digit).eq([false, false, true, true])
            && let Some((span, value)) = money::iban(self.text, start)
        {
            self.taken = span.end;
            if self.look != Look::Secrets {
                self.finds.observable("iban", self.node, &value);
            }
        }
    }

    /// Tokens with a provider's shape whose anchor stands in a word, just before it, or ends in the character after it.
    fn shapes(&mut self, start: usize, end: usize) {
        let (text, finds) = (self.text, &mut *self.finds);
        let window = start.saturating_sub(shapes::REACH).max(self.shaped)..text.len().min(end + 1);
        if window.is_empty() {
            return;
        }
        let shaped = &mut self.shaped;
        shapes::find(text, window, |kind, span| {
            if span.len() > shapes::SANE {
                *shaped = span.end.max(*shaped);
            }
            if kind == "aws_access_key_id"
                && let Some(key) = secret::aws_secret_near(text, &span)
            {
                finds.secret("aws_secret_access_key", text, key);
            }
            finds.secret(kind, text, span);
        });
    }

    /// Tokens in or just before a long word.
    fn tokens(&mut self, start: usize, end: usize) {
        self.shapes(start, end);
        let (text, finds) = (self.text, &mut *self.finds);
        let word = &text.as_bytes()[start..end];
        // Few of the places in one word can be the start of one token.
        for found in memchr::memmem::find_iter(word, b"eyJ").take(16) {
            if shapes::starts_word(text.as_bytes(), start + found)
                && let Some(span) = secret::jwt(text, start + found)
            {
                finds.secret("jwt", text, span);
                break;
            }
        }
        // Discord: three parts, the first the bot's id in base64.
        if matches!(word[0], b'M' | b'N' | b'O') && (24..=30).contains(&word.len()) {
            let part = |from: usize| {
                from + text.as_bytes()[from..]
                    .iter()
                    .take(64)
                    .take_while(|b| CLASS[usize::from(**b)] & WORD != 0)
                    .count()
            };
            let middle = part((end + 1).min(text.len()));
            let last = part((middle + 1).min(text.len()));
            let dots = [end, middle].iter().all(|dot| text.as_bytes().get(*dot) == Some(&b'.'));
            if dots && middle - end == 7 && (28..=48).contains(&(last - middle)) {
                finds.secret("discord_bot_token", text, start..last);
            }
        }
    }

    fn private_key(&mut self) {
        // More dashes than five may stand before.
        let start = self.word.end - "-----BEGIN".len();
        // A block without end has swallowed what looks like the next ones.
        if start < self.private_key {
            return;
        }
        let Some((span, value)) = secret::pem(self.text, start) else { return };
        self.private_key = span.end;
        let written = self.text[span.clone()].to_owned();
        self.finds.note(Secret { kind: "private_key", value, written, lead: 0, trail: 0 }, span);
    }

    /// `Bearer x`, `Basic x` without the header's name, where `x` starts at `start`.
    fn authorization(&mut self, start: usize) {
        let scheme = self.word_before(start - 1);
        let (text, bytes) = (self.text, self.text.as_bytes());
        let Some(kind) =
            named::auth_scheme(&text[scheme]).filter(|kind| matches!(*kind, "bearer_token" | "basic_auth"))
        else {
            return;
        };
        let inside = |b: &&u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
        let end = start + bytes[start..].iter().take_while(inside).count();
        let value = &text[start..end];
        if value.len() >= 12 && value::looks_random(value) && !value::is_placeholder(value) {
            self.finds.secret(shapes::whole(value).unwrap_or(kind), text, start..end);
        }
    }
}
