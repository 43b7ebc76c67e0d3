//! The one pass over a string: cuts it into words and calls a matcher at the few bytes that can mean something.
//!
//! Most bytes cost one table look-up: letters, white space and most punctuation mean nothing by themselves. The pass
//! stops at digits, `_` and `-`, where it looks at the word around them, at `. / : @ = + < [ ! \ %`, at ESC and at the
//! first byte of a character that may be invisible.

use super::observable::{self, money, path};
use super::secret::{self, Secret, named, named::Named, shapes};
use super::{binary, marker};
use crate::call::Marker;
use base64::Engine as _;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;

/// Observables kept per payload.
const MAX_OBSERVABLES: usize = 256;
/// Markers kept per payload.
const MAX_MARKERS: usize = 64;
/// Base64 of this length is worth a marker if it hides text.
const BASE64_BLOB: usize = 200;

const WORD: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const DIGIT: u8 = 8;
/// `_` and `-`.
const JOINER: u8 = 16;
/// A letter that is no hexadecimal digit.
const NOT_HEX: u8 = 32;
/// Where the pass stops.
const STOP: u8 = 128;

static CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'f' => WORD | LOWER,
            b'g'..=b'z' => WORD | LOWER | NOT_HEX,
            b'A'..=b'F' => WORD | UPPER,
            b'G'..=b'Z' => WORD | UPPER | NOT_HEX,
            b'0'..=b'9' => WORD | DIGIT | STOP,
            b'_' | b'-' => WORD | JOINER | STOP,
            b'.' | b'/' | b':' | b'@' | b'=' | b'+' | b'<' | b'[' | b'!' | b'\\' | b'%' | 0x1B => STOP,
            // First bytes of invisible characters; most other text in UTF-8 passes without a look.
            0xC2 | 0xD8 | 0xE1 | 0xE2 | 0xEF | 0xF3 => STOP,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// One observable before its path is known.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kind: &'static str,
    /// Node of the outermost tape that it stands in.
    pub(crate) node: u32,
    pub(crate) value: String,
}

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Everything: the first pass.
    All,
    /// Everything but secrets: text that has been redacted.
    Clean,
    /// Secrets only: a decoded copy of something.
    Secrets,
}

/// What was found in one payload.
#[derive(Debug, Default)]
pub(crate) struct Finds {
    pub(crate) observables: Vec<Found>,
    pub(crate) observables_capped: bool,
    pub(crate) markers: Vec<Marker>,
    pub(crate) secrets: Vec<Secret>,
    /// Where in the string the latest secrets stand; only for strings that are decoded copies.
    spans: Vec<Range<usize>>,
    /// Whether something is to be stored as a digest.
    pub(crate) binary: bool,
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Finds {
    /// Forgets what was found, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.observables.clear();
        self.observables_capped = false;
        self.markers.clear();
        self.secrets.clear();
        self.spans.clear();
        self.binary = false;
        self.seen.clear();
    }

    pub(crate) fn observable(&mut self, kind: &'static str, node: u32, value: &str) {
        if self.observables.len() >= MAX_OBSERVABLES {
            self.observables_capped = true;
            return;
        }
        let value = &value[..value.floor_char_boundary(observable::MAX_VALUE)];
        // First letter and length tell the kinds apart; one number hashes faster than a string.
        let tag = u64::from(node) << 16 | u64::from(kind.as_bytes()[0]) << 8 | kind.len() as u64;
        if self.seen.insert(self.hasher.hash_one((tag, value))) {
            let unclean = value.bytes().any(|b| b < b' ' || b == 0x7F || b == 0xC2);
            let value = if unclean { value.chars().filter(|c| !c.is_control()).collect() } else { value.to_owned() };
            self.observables.push(Found { kind, node, value });
        }
    }

    pub(crate) fn marker(&mut self, kind: &'static str, origin: &str, position: usize) {
        if self.markers.len() < MAX_MARKERS {
            self.markers.push(Marker { kind: kind.into(), origin: origin.into(), position: position as i64 });
        }
    }

    /// Notes a secret that stands in the text as it is.
    pub(crate) fn secret(&mut self, kind: &'static str, text: &str, span: Range<usize>) {
        let value = &text[span.clone()];
        // A short one is found again only in its surroundings, else it would be found everywhere.
        let around = if value.len() < 6 { 1 } else { 0 };
        let lead = span.start - text.floor_char_boundary(span.start.saturating_sub(around));
        let trail = text.ceil_char_boundary((span.end + around).min(text.len())) - span.end;
        let written = text[span.start - lead..span.end + trail].to_owned();
        self.note(Secret { kind, value: value.to_owned(), written, lead, trail }, span);
    }

    fn note(&mut self, secret: Secret, span: Range<usize>) {
        if self.seen.insert(self.hasher.hash_one(&secret.written)) {
            self.secrets.push(secret);
            self.spans.push(span);
        }
    }
}

/// One string being scanned.
pub(crate) struct Scanner<'t, 'f> {
    pub(crate) text: &'t str,
    pub(crate) finds: &'f mut Finds,
    pub(crate) look: Look,
    pub(crate) origin: &'t str,
    pub(crate) node: u32,
    /// Whether the string's name says that it is a file's.
    pub(crate) names_file: bool,
    /// The word read last, and where it ended.
    word: Range<usize>,
    read: usize,
    /// Until here a URL, a path or an address has been read: nothing inside counts as one of its own.
    taken: usize,
    /// Until here a run of labels has been judged.
    dotted: usize,
    /// Until here base64, and percent encoding, have been judged.
    base64: usize,
    percent: usize,
}

impl<'t, 'f> Scanner<'t, 'f> {
    /// A scanner at the start of `text`.
    pub(crate) fn new(text: &'t str, finds: &'f mut Finds, look: Look, origin: &'t str, node: u32) -> Self {
        Self {
            text,
            finds,
            look,
            origin,
            node,
            names_file: false,
            word: 0..0,
            read: 0,
            taken: 0,
            dotted: 0,
            base64: 0,
            percent: 0,
        }
    }

    /// Scans the whole string; `phrases` says whether it can hold any.
    pub(crate) fn run(mut self, phrases: bool) {
        let bytes = self.text.as_bytes();
        if self.names_file && self.look != Look::Secrets {
            self.whole_path();
        }
        let mut at = 0;
        while let Some(step) = bytes[at..].iter().position(|b| CLASS[usize::from(*b)] & STOP != 0) {
            at += step;
            let byte = bytes[at];
            if byte.is_ascii_digit() || matches!(byte, b'_' | b'-') {
                at = self.on_word(at);
            } else {
                at = self.on_event(byte, at);
            }
        }
        if phrases && self.look != Look::Secrets {
            for position in marker::phrases::find(self.text) {
                self.finds.marker("override_phrase", self.origin, position);
            }
        }
    }

    fn secrets(&self) -> bool {
        self.look != Look::Clean
    }

    fn observe(&mut self, kind: &'static str, span: Range<usize>) {
        if self.look != Look::Secrets {
            self.finds.observable(kind, self.node, &self.text[span]);
        }
    }

    fn mark(&mut self, kind: &'static str, at: usize) {
        if self.look != Look::Secrets {
            self.finds.marker(kind, self.origin, at);
        }
    }

    /// A string whose name says that it is a path may hold spaces, and needs no leading slash.
    fn whole_path(&mut self) {
        let text = self.text;
        let shape = text.starts_with(['/', '~', '.']) || text.contains('/') || text.contains('\\');
        if text.len() <= 1024
            && shape
            && text.len() > 1
            && !text.contains("://")
            && !text.bytes().any(|b| b < b' ' || b == b'"')
        {
            self.finds.observable("file_path", self.node, text);
            self.taken = text.len();
        }
    }

    /// Reads the word around a digit, `_` or `-`; gives where to go on.
    fn on_word(&mut self, at: usize) -> usize {
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
        if word.starts_with(b"--") {
            if word.starts_with(b"-----") {
                return self.on_dashes();
            }
            if self.secrets() && bytes.get(end) == Some(&b' ') {
                self.assigned(start + 2..end, end..end + 1);
            }
        }
        if word.len() >= 8 && self.secrets() && matches!(bytes[..start], [.., b'r' | b'R' | b'c' | b'C', b' ']) {
            self.authorization(start);
        }
        if word.len() < 16 {
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
        if !only_hex && !uuid && self.secrets() && (seen & (UPPER | DIGIT) != 0 || word.len() >= 30) {
            self.tokens(start, end);
        }
        if seen & (LOWER | UPPER | DIGIT) == LOWER | UPPER | DIGIT && word.len() >= 24 && start >= self.base64 {
            self.base64(start, end);
        }
        end
    }

    /// The word that ends at `end` (its last 128 bytes).
    fn word_before(&mut self, end: usize) -> Range<usize> {
        let bytes = &self.text.as_bytes()[..end];
        let length = bytes.iter().rev().take(128).take_while(|b| CLASS[usize::from(**b)] & WORD != 0).count();
        end - length..end
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

    /// Tokens with a provider's shape in or just before a long word.
    fn tokens(&mut self, start: usize, end: usize) {
        let (text, finds) = (self.text, &mut *self.finds);
        let window = start.saturating_sub(shapes::REACH)..end;
        shapes::find(text, window, |kind, span| {
            if kind == "aws_access_key_id"
                && let Some(key) = secret::aws_secret_near(text, &span)
            {
                finds.secret("aws_secret_access_key", text, key);
            }
            finds.secret(kind, text, span);
        });
        let word = &text.as_bytes()[start..end];
        let mut from = 0;
        while let Some(found) = memchr::memmem::find(&word[from..], b"eyJ") {
            let at = start + from + found;
            if shapes::starts_word(text.as_bytes(), at)
                && let Some(span) = secret::jwt(text, at)
            {
                finds.secret("jwt", text, span);
                break;
            }
            from += found + 3;
        }
        // Discord: three parts, the first the bot's id in base64.
        if matches!(word[0], b'M' | b'N' | b'O') && (24..=30).contains(&word.len()) {
            let part = |from: usize| {
                from + text.as_bytes()[from..].iter().take_while(|b| CLASS[usize::from(**b)] & WORD != 0).count()
            };
            let middle = part((end + 1).min(text.len()));
            let last = part((middle + 1).min(text.len()));
            let dots = [end, middle].iter().all(|dot| text.as_bytes().get(*dot) == Some(&b'.'));
            if dots && middle - end == 7 && (28..=48).contains(&(last - middle)) {
                finds.secret("discord_bot_token", text, start..last);
            }
        }
    }

    fn on_dashes(&mut self) -> usize {
        let Range { start, end } = self.word;
        if !self.secrets() || !self.text[start..end].ends_with("BEGIN") {
            return end;
        }
        // More dashes than five may stand before.
        let Some((span, value)) = secret::pem(self.text, end - "-----BEGIN".len()) else { return end };
        let written = self.text[span.clone()].to_owned();
        self.finds.note(Secret { kind: "private_key", value, written, lead: 0, trail: 0 }, span);
        end
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
        if value.len() >= 12 && named::looks_random(value) && !named::is_placeholder(value) {
            self.finds.secret(shapes::whole(value).unwrap_or(kind), text, start..end);
        }
    }

    fn assigned(&mut self, name: Range<usize>, separator: Range<usize>) {
        if let Some((kind, span)) = named::assigned(self.text, name, separator) {
            self.finds.secret(kind, self.text, span);
        }
    }

    /// Looks at one byte that can open or join something; gives where to go on.
    fn on_event(&mut self, byte: u8, at: usize) -> usize {
        let (text, bytes) = (self.text, self.text.as_bytes());
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        let free = at >= self.taken;
        match byte {
            b'.' if free && at >= self.dotted && next.is_ascii_alphanumeric() => {
                let label = self.word_before(at);
                if label.is_empty() {
                    return at + 1;
                }
                let run = observable::dotted(text, label.start.max(self.taken), at);
                self.dotted = run.end;
                if let Some((kind, span)) = run.find {
                    let value = text[span.clone()].to_ascii_lowercase();
                    if self.look != Look::Secrets {
                        self.finds.observable(kind, self.node, &value);
                    }
                    self.webhook(span.start);
                }
            }
            b'/' if free && next > b' ' => {
                if let Some(span) = path::unix(text, at) {
                    self.taken = span.end;
                    self.observe("file_path", span);
                }
            }
            b':' => return self.on_colon(at, next),
            b'=' if self.secrets() => self.name_before(at),
            b'@' if free && next.is_ascii_alphanumeric() => {
                if let Some(span) = observable::email(text, at) {
                    self.taken = span.end;
                    if self.look != Look::Secrets {
                        self.finds.observable("email", self.node, &text[span].to_ascii_lowercase());
                    }
                }
            }
            b'+' if free && next.is_ascii_digit() => {
                if let Some((span, value)) = money::phone(text, at) {
                    self.taken = span.end;
                    if self.look != Look::Secrets {
                        self.finds.observable("phone", self.node, &value);
                    }
                }
            }
            b'<' => {
                if let Some(kind) = marker::angle(text, at) {
                    self.mark(kind, at);
                }
            }
            b'[' => {
                if let Some(literal) = secret::literal_at(text, at) {
                    self.observe("secret", literal.clone());
                    return literal.end;
                }
                if let Some(kind) = marker::square(text, at) {
                    self.mark(kind, at);
                }
            }
            b'!' if next == b'[' && marker::image(text, at) => self.mark("markdown_image_exfil", at),
            b'\\' if next == b'\\' => {
                let run = bytes[at..].iter().take_while(|b| **b == b'\\').count();
                if free && let Some(span) = path::unc(text, at) {
                    self.taken = span.end;
                    self.observe("file_path", span);
                }
                return at + run;
            }
            b'%' if at >= self.percent && self.secrets() && next.is_ascii_hexdigit() => self.percent_run(at),
            0x1B if marker::ansi(bytes, at) => self.mark("ansi", at),
            0xC2.. => {
                if byte == 0xC2 && next == 0x9B {
                    self.mark("ansi", at);
                }
                if marker::unseen(bytes, at).is_some() {
                    let (end, kind) = marker::unseen_run(bytes, at);
                    if let Some(kind) = kind {
                        self.mark(kind, at);
                    }
                    return end;
                }
            }
            _ => {}
        }
        at + 1
    }

    fn on_colon(&mut self, at: usize, next: u8) -> usize {
        let (text, bytes) = (self.text, self.text.as_bytes());
        if next == b'/' && bytes.get(at + 2) == Some(&b'/') {
            self.on_url(at);
            return at + 1;
        }
        if at > 0 && bytes[at - 1].is_ascii_alphabetic() {
            if bytes[..at].ends_with(b"data")
                && let Some(uri) = binary::data_uri(text, at - 4)
            {
                self.mark("data_uri", uri.start);
                if uri.binary {
                    self.finds.binary = true;
                    return uri.end;
                }
            }
            if at >= self.taken
                && matches!(next, b'\\' | b'/')
                && let Some(span) = path::drive(text, at)
            {
                self.taken = span.end;
                if self.look != Look::Secrets {
                    let value = text[span].replace("\\\\", "\\");
                    self.finds.observable("file_path", self.node, &value);
                }
                return at + 1;
            }
            if matches!(bytes[at - 1], b'n' | b't' | b's' | b'm' | b'e' | b'r') && matches!(next, b' ' | b'\n') {
                let word = self.word_before(at);
                if let Some(start) = marker::turn(text, &word) {
                    self.mark("chat_template", start);
                }
            }
        }
        if at >= self.taken
            && (next == b':' || next.is_ascii_hexdigit())
            && let Some(span) = observable::ipv6(text, at)
        {
            self.taken = span.end;
            self.observe("ip", span.clone());
            return span.end;
        }
        if self.secrets() {
            self.name_before(at);
        }
        at + 1
    }

    /// A separator: is what stands before it the name of a credential?
    fn name_before(&mut self, at: usize) {
        let bytes = self.text.as_bytes();
        // `name =`, `"name":`, `\"name\" :`, `['name'] =`; not the far end of a sentence.
        let gap = bytes[..at]
            .iter()
            .rev()
            .take(10)
            .take_while(|b| matches!(b, b' ' | b'"' | b'\'' | b'\\' | b']' | b'`'))
            .count();
        if named::may_end_name(&bytes[..at - gap]) {
            let name = self.word_before(at - gap);
            self.assigned(name, at..at + 1);
        }
    }

    fn on_url(&mut self, colon: usize) {
        let text = self.text;
        if self.secrets() {
            if let Some(span) = secret::url_password(text, colon + 3) {
                self.finds.secret(shapes::whole(&text[span.clone()]).unwrap_or("password"), text, span);
            }
            self.webhook(colon + 3);
        }
        if colon < self.taken {
            return;
        }
        let Some(url) = observable::url(text, colon) else { return };
        self.taken = url.span.end;
        if self.look == Look::Secrets {
            return;
        }
        let scheme = &text[url.span.start..url.span.start + url.scheme];
        if scheme.eq_ignore_ascii_case("file") {
            let local = &text[colon + 3..url.span.end];
            self.finds.observable("file_path", self.node, local.find('/').map_or(local, |slash| &local[slash..]));
            return;
        }
        let web = matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp" | "HTTP" | "HTTPS");
        let host = text[url.host.clone()].to_ascii_lowercase();
        self.observe("url", url.span);
        if let Some(kind) = observable::host_kind(&host, web) {
            self.finds.observable(kind, self.node, host.trim_end_matches('.'));
        }
    }

    fn webhook(&mut self, host: usize) {
        if self.secrets()
            && let Some((kind, span)) = secret::webhook(self.text, host)
        {
            self.finds.secret(kind, self.text, span);
        }
    }

    /// Percent-encoded text: secrets whose name, quotes or separators are encoded too.
    fn percent_run(&mut self, at: usize) {
        let bytes = self.text.as_bytes();
        let edge = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\');
        let end = at + bytes[at..].iter().position(edge).unwrap_or(bytes.len() - at);
        let start =
            bytes[self.percent..at].iter().rposition(edge).map_or(self.percent, |found| self.percent + found + 1);
        self.percent = end;
        let hex = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
        let mut decoded = Vec::with_capacity(end - start);
        let mut origin = Vec::with_capacity(end - start + 1);
        let mut telling = false;
        let mut i = start;
        while i < end {
            origin.push(i);
            match (bytes[i], hex(i + 1), hex(i + 2)) {
                (b'%', Some(high), Some(low)) if i + 2 < end => {
                    let byte = (high * 16 + low) as u8;
                    // Words in another script tell nothing new.
                    telling |= byte.is_ascii();
                    decoded.push(byte);
                    i += 3;
                }
                (byte, ..) => {
                    decoded.push(byte);
                    i += 1;
                }
            }
        }
        origin.push(end);
        let Ok(decoded) = String::from_utf8(decoded) else { return };
        if !telling {
            return;
        }
        let mut inner = Finds::default();
        // One level: text that is encoded twice is decoded once more inside.
        Scanner::new(&decoded, &mut inner, Look::Secrets, "", 0).run(false);
        for (secret, span) in inner.secrets.into_iter().zip(inner.spans) {
            let encoded = origin[span.start]..origin[span.end];
            let written = self.text[encoded.clone()].to_owned();
            self.finds.note(Secret { written, lead: 0, trail: 0, ..secret }, encoded);
        }
    }

    /// Base64 around a long word: text hidden in it, and secrets hidden in that.
    fn base64(&mut self, start: usize, end: usize) {
        let bytes = self.text.as_bytes();
        let inside = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
        let start = start - bytes[self.base64..start].iter().rev().take_while(|b| inside(b)).count();
        let end = end + bytes[end..].iter().take_while(|b| inside(b)).count();
        self.base64 = end;
        let padded = end + bytes[end..].iter().take(2).take_while(|b| **b == b'=').count();
        let run = &self.text[start..end];
        let Some(decoded) = binary::decode_text(run) else { return };
        if run.len() >= BASE64_BLOB {
            self.mark("base64_blob", start);
        }
        if self.secrets() {
            let mut inner = Finds::default();
            Scanner::new(&decoded, &mut inner, Look::Secrets, "", 0).run(false);
            for secret in inner.secrets {
                let written = self.text[start..padded].to_owned();
                self.finds.note(Secret { written, lead: 0, trail: 0, ..secret }, start..padded);
            }
        }
    }
}

/// Notes the secret that a string is because of its name.
pub(crate) fn named_value(promise: Named, text: &str, finds: &mut Finds) {
    if let Some((kind, span)) = named::secret_in(promise, text) {
        finds.secret(kind, text, span);
    }
}

/// Decodes base64 in whatever alphabet, with or without padding.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::alphabet::{STANDARD, URL_SAFE};
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}
