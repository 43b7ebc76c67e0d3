//! The one pass over a string: cuts it into words and calls a matcher at the few bytes that can mean something.
//!
//! Most bytes cost one table look-up: letters, white space and most punctuation mean nothing by themselves. The pass
//! stops at digits, `_` and `-`, where it looks at the word around them, at `. / : @ = + < [ ! \ %`, at ESC and at the
//! first byte of a character that may be invisible. A token made of letters alone has none of these: between two stops,
//! words of sixteen letters and more are looked at too, which eight bytes at a time tell apart from the rest.

mod command;
mod encoded;
mod words;

use super::finds::Finds;
use super::observable::{self, money, path};
use super::secret::{self, named, shapes};
use super::{binary, marker};
use std::ops::Range;

const WORD: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const DIGIT: u8 = 8;
/// `_` and `-`.
const JOINER: u8 = 16;
/// A letter that is no hexadecimal digit.
const NOT_HEX: u8 = 32;
/// What some tokens hold besides the characters of words.
const INNER: u8 = 64;
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
            b'.' | b'/' | b'=' | b'+' | b'%' => INNER | STOP,
            b'~' => INNER,
            b':' | b'@' | b'<' | b'[' | b'!' | b'\\' | 0x1B => STOP,
            // First bytes of invisible characters; most other text in UTF-8 passes without a look.
            0xC2 | 0xD8 | 0xE1 | 0xE2 | 0xEF | 0xF3 => STOP,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Words of fewer characters are no tokens, unless these go on after a full stop or the like.
const LONG: usize = 16;

/// Inside a word of [`LONG`] letters and more, if one lies in `gap`, where no other characters of words are.
fn long_word(bytes: &[u8], gap: Range<usize>) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let letter = |b: &&u8| CLASS[usize::from(**b)] & WORD != 0;
    // So many letters hold eight in a row that start at a multiple of eight.
    let (chunks, _) = bytes.get(gap.clone()).filter(|gap| gap.len() >= LONG)?.as_chunks::<8>();
    chunks.iter().enumerate().map(|(i, chunk)| (gap.start + i * 8, u64::from_le_bytes(*chunk))).find_map(
        |(at, eight)| {
            let lower = eight | (ONES * 0x20);
            let from_a = lower.wrapping_add(ONES * (0x80 - b'a' as u64));
            let after_z = lower.wrapping_add(ONES * (0x7F - b'z' as u64));
            if from_a & !after_z & !eight & (ONES * 0x80) != ONES * 0x80 {
                return None;
            }
            let before = bytes[..at].iter().rev().take(LONG).take_while(letter).count();
            let after = bytes[at..gap.end].iter().take(LONG).take_while(letter).count();
            (before + after >= LONG).then_some(at)
        },
    )
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
    /// Until here base64, percent encoding and a private key have been judged.
    base64: usize,
    percent: usize,
    private_key: usize,
    /// Until here a token of no sane length has been read.
    shaped: usize,
    /// How often the text has been decoded to get here.
    depth: usize,
    /// Words that a character parts which nobody sees.
    parted: usize,
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
            private_key: 0,
            shaped: 0,
            depth: 0,
            parted: 0,
        }
    }

    /// Scans the whole string; `phrases` says whether it can hold any.
    pub(crate) fn run(mut self, phrases: bool) {
        let bytes = self.text.as_bytes();
        if self.names_file && self.look != Look::Secrets {
            self.whole_path();
        }
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes[at..].iter().position(|b| CLASS[usize::from(*b)] & STOP != 0);
            let stop = rest.map_or(bytes.len(), |step| at + step);
            while let Some(word) = long_word(bytes, at..stop) {
                at = self.on_word(word);
            }
            if at > stop {
                continue;
            }
            at = stop;
            let Some(&byte) = bytes.get(at) else { break };
            if byte.is_ascii_digit() || matches!(byte, b'_' | b'-') {
                at = self.on_word(at);
            } else {
                at = self.on_event(byte, at);
            }
        }
        if phrases && self.look != Look::Secrets {
            let mut room = std::mem::take(&mut self.finds.phrases);
            marker::phrases::find(self.text, &mut room, |at| self.finds.marker("override_phrase", self.origin, at));
            self.finds.phrases = room;
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

    /// The word that ends at `end` (its last 128 bytes).
    fn word_before(&mut self, end: usize) -> Range<usize> {
        let bytes = &self.text.as_bytes()[..end];
        let length = bytes.iter().rev().take(128).take_while(|b| CLASS[usize::from(**b)] & WORD != 0).count();
        end - length..end
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
                    let value = &text[span.clone()];
                    if self.look != Look::Secrets {
                        self.finds.observable_lower(kind, self.node, value);
                    }
                    if value.len() > 4 && value.as_bytes()[value.len() - 4..].eq_ignore_ascii_case(b".com") {
                        self.webhook(span.start);
                    }
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
            b'@' if free && (next.is_ascii_alphanumeric() || next >= 0x80) => {
                if let Some(span) = observable::email(text, at) {
                    self.taken = span.end;
                    if self.look != Look::Secrets {
                        let host = observable::international::to_ascii(&text[at + 1..span.end]);
                        let written = host.map(|host| format!("{}{host}", &text[span.start..=at]));
                        self.finds.observable_lower("email", self.node, written.as_deref().unwrap_or(&text[span]));
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
            b'%' if at >= self.percent
                && self.secrets()
                && self.depth < encoded::MAX_DEPTH
                && next.is_ascii_hexdigit() =>
            {
                self.percent_run(at)
            }
            0x1B if marker::ansi(bytes, at) => self.mark("ansi", at),
            0xC2.. => {
                if byte == 0xC2 && next == 0x9B {
                    self.mark("ansi", at);
                }
                if marker::unseen(bytes, at).is_some() {
                    let (end, kind) = marker::unseen_run(bytes, at);
                    if let Some(kind) = kind {
                        self.mark(kind, at);
                    } else if marker::parts_word(bytes, at, end) {
                        // One or two come out of word processors; more hide words from who looks for them.
                        self.parted += 1;
                        if self.parted == 3 {
                            self.mark("hidden_unicode", at);
                        }
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
            self.user_option(at);
        }
        at + 1
    }

    /// A separator: is what stands before it the name of a credential?
    fn name_before(&mut self, at: usize) {
        let bytes = self.text.as_bytes();
        // `name =`, `"name":`, `\"name\" :`, `['name'] =`; not the far end of a sentence.
        let mut gap = 0;
        while gap < 10.min(at) && matches!(bytes[at - gap - 1], b' ' | b'"' | b'\'' | b'\\' | b']' | b'`') {
            gap += 1;
        }
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
            let local = local.find('/').map_or(local, |slash| &local[slash..]);
            if local.len() > 1 {
                self.finds.observable("file_path", self.node, local);
            }
            return;
        }
        let web = matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp" | "HTTP" | "HTTPS");
        let host = &text[url.host];
        let in_dns = observable::international::to_ascii(host);
        let host = in_dns.as_deref().unwrap_or(host);
        self.observe("url", url.span);
        if let Some(kind) = observable::host_kind(host, web) {
            self.finds.observable_lower(kind, self.node, host.trim_end_matches('.'));
        }
    }

    fn webhook(&mut self, host: usize) {
        if self.secrets()
            && let Some((kind, span)) = secret::webhook(self.text, host)
        {
            self.finds.secret(kind, self.text, span);
        }
    }
}
