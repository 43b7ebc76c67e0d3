//! Lines that a container runtime cut: Docker's `json-file` after 16 KiB, Kubernetes' CRI with the flag `P` for a part and `F` for the last one.
//! And the object over several lines in which Claude Desktop says how it starts a server.
//!
//! Parts of one output follow each other; lines of the other one may stand between them.

use super::MAX_RECORD;
use crate::source::json;
use std::ops::Range;

/// How each line of Docker's `json-file` begins.
const LOG: &[u8] = b"{\"log\":\"";
/// Docker cuts after so many bytes, which are not fewer when they are written as JSON. Shorter lines without a line end are whole
/// ones that a collector has trimmed.
const CUT: usize = 16 << 10;
/// Bytes of the other output between two parts at most. A process that asks without a line end for something writes a part too, and
/// what it writes to its other output meanwhile must not wait for the rest.
const GAP: usize = 64 << 10;

/// What such an object follows in a line that it ends.
const COMMAND: &[u8] = b"Using MCP server command: ";
/// Its bytes at most: the longest thing in it is the search path of programs.
const OBJECT: usize = 64 << 10;

/// A line as a runtime wrote it.
struct Line {
    is_stderr: bool,
    /// Its end stands in a later line.
    goes_on: bool,
    /// What the process wrote, as it is written in the line.
    content: Range<usize>,
}

/// What one output has written of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The lines of the parts, in order.
    pub lines: Vec<(usize, usize)>,
    /// Line ends before the first.
    pub line: i64,
    /// The last part is there.
    pub is_whole: bool,
    /// They are lines by themselves, of one object.
    is_object: bool,
}

/// Where something begins that is not finished at the end of the lines, and whether nothing else stands behind its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub start: usize,
    pub is_alone: bool,
}

/// Goes through lines and puts parts together.
#[derive(Default)]
pub struct Joiner {
    /// What standard output and standard error have begun.
    begun: [Option<Parts>; 2],
    /// The object that has begun.
    object: Option<Parts>,
}

/// What a line is.
pub enum Step {
    /// A record by itself.
    Alone,
    /// A part; the rest is still to come.
    Kept,
    /// The last part.
    Ends(Parts),
}

impl Joiner {
    /// Takes the next line, before which there are so many line ends. What it shows to be without an end goes to `given_up`.
    pub fn line(&mut self, bytes: &[u8], (start, end): (usize, usize), number: i64, given_up: &mut Vec<Parts>) -> Step {
        let text = &bytes[start..end];
        if self.object.is_none() && self.begun.iter().all(Option::is_none) && !goes_on(text) {
            return Step::Alone;
        }
        if let Some(mut parts) = self.object.take() {
            // The next line of the log, or something that only looked like an object.
            if is_dated(text) || end - parts.start() > OBJECT {
                given_up.push(parts);
            } else {
                parts.lines.push((start, end));
                parts.is_whole = closes_object(text);
                if parts.is_whole {
                    return Step::Ends(parts);
                }
                self.object = Some(parts);
                return Step::Kept;
            }
        }
        if opens_object(text) {
            self.object = Some(Parts { lines: vec![(start, end)], line: number, is_whole: false, is_object: true });
            return Step::Kept;
        }
        for begun in &mut self.begun {
            given_up.extend(begun.take_if(|parts| start - parts.end() > GAP || end - parts.start() > MAX_RECORD));
        }
        let Some(line) = line(text) else { return Step::Alone };
        let begun = &mut self.begun[usize::from(line.is_stderr)];
        match begun.as_mut() {
            None if !line.goes_on => Step::Alone,
            None => {
                *begun = Some(Parts { lines: vec![(start, end)], line: number, is_whole: false, is_object: false });
                Step::Kept
            }
            Some(parts) => {
                parts.lines.push((start, end));
                if line.goes_on {
                    return Step::Kept;
                }
                parts.is_whole = true;
                begun.take().map_or(Step::Alone, Step::Ends)
            }
        }
    }

    /// What has no end yet.
    pub fn rest(self) -> impl Iterator<Item = Parts> {
        self.begun.into_iter().flatten().chain(self.object)
    }
}

impl Parts {
    pub fn start(&self) -> usize {
        self.lines.first().map_or(0, |line| line.0)
    }

    pub fn end(&self) -> usize {
        self.lines.last().map_or(0, |line| line.1)
    }

    /// The line as the runtime had written it, had it not cut it, and whether a character was lost at a cut.
    pub fn text(&self, bytes: &[u8]) -> (Vec<u8>, bool) {
        const LOST: &[u8] = b"\\ufffd";
        if self.is_object {
            return (bytes[self.start()..self.end()].to_vec(), false);
        }
        let mut text = Vec::with_capacity(self.lines.iter().map(|(start, end)| end - start).sum());
        let (mut behind, mut is_lossy): (&[u8], bool) = (b"", false);
        for (at, &(start, end)) in self.lines.iter().enumerate() {
            let whole = &bytes[start..end];
            let Some(Line { content, .. }) = line(whole) else { continue };
            if at == 0 {
                text.extend_from_slice(&whole[..content.start]);
                behind = &whole[content.end..];
            }
            let content = &whole[content];
            is_lossy |= at > 0 && (text.ends_with(LOST) || content.starts_with(LOST));
            text.extend_from_slice(content);
        }
        text.extend_from_slice(behind);
        (text, is_lossy)
    }
}

/// What is unfinished at the end of whole lines. Lines that no runtime wrote are not looked at.
pub fn unfinished(lines: &[u8]) -> Option<Unfinished> {
    let last = memchr::memrchr(b'\n', &lines[..lines.len().checked_sub(1)?]).map_or(0, |at| at + 1);
    if line(&lines[last..]).is_none() && !is_within_object(lines) {
        return None;
    }
    let (mut joiner, mut given_up, mut start) = (Joiner::default(), Vec::new(), 0);
    for end in memchr::memchr_iter(b'\n', lines).map(|at| at + 1) {
        joiner.line(lines, (start, end), 0, &mut given_up);
        given_up.clear();
        start = end;
    }
    let first = joiner.rest().min_by_key(Parts::start)?;
    let length: usize = first.lines.iter().map(|(start, end)| end - start).sum();
    Some(Unfinished { start: first.start(), is_alone: first.start() + length == lines.len() })
}

/// Whether the line is a part that another one goes on with. Asked of every line of every log.
pub fn goes_on(text: &[u8]) -> bool {
    match text.first() {
        Some(b'{') => text.len() >= CUT && docker(text).is_some_and(|line| line.goes_on),
        Some(b'0'..=b'9') => opens_object(text) || cri(text).is_some_and(|line| line.goes_on),
        _ => false,
    }
}

fn opens_object(text: &[u8]) -> bool {
    without_line_end(text).ends_with(b"{") && is_dated(text) && memchr::memmem::find(text, COMMAND).is_some()
}

fn closes_object(text: &[u8]) -> bool {
    text.starts_with(b"}")
}

fn is_dated(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit) && text.get(4) == Some(&b'-') && text.get(10) == Some(&b'T')
}

/// Whether lines end within an object that they have begun.
fn is_within_object(lines: &[u8]) -> bool {
    let mut end = lines.len();
    while end > 0 && lines.len() - end < OBJECT {
        let start = memchr::memrchr(b'\n', &lines[..end - 1]).map_or(0, |at| at + 1);
        let line = &lines[start..end];
        if is_dated(line) || closes_object(line) {
            return opens_object(line);
        }
        end = start;
    }
    false
}

fn line(text: &[u8]) -> Option<Line> {
    if text.first() == Some(&b'{') { docker(text) } else { cri(text) }
}

fn docker(text: &[u8]) -> Option<Line> {
    if !text.starts_with(LOG) {
        return None;
    }
    let end = json::skip_string(text, LOG.len() - 1) - 1;
    let content = text.get(LOG.len()..end)?;
    let escaped = content.strip_suffix(b"n").unwrap_or_default();
    let ends_line = escaped.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let is_stderr = memchr::memmem::find(&text[end..], b"\"stream\":\"stderr\"").is_some();
    Some(Line { is_stderr, goes_on: text.len() >= CUT && !ends_line, content: LOG.len()..end })
}

/// `2026-11-10T09:12:33.123456789Z stdout P …`
fn cri(text: &[u8]) -> Option<Line> {
    if text.get(4) != Some(&b'-') || text.get(10) != Some(&b'T') {
        return None;
    }
    let at = 19 + memchr::memchr(b' ', &text[..text.len().min(40)][19.min(text.len())..])?;
    let (output, behind) = text.get(at + 1..)?.split_at_checked(7)?;
    let is_stderr = match output {
        b"stdout " => false,
        b"stderr " => true,
        _ => return None,
    };
    let end = without_line_end(text).len();
    let goes_on = match behind.first()? {
        b'P' => true,
        b'F' => false,
        _ => return None,
    };
    // An empty last part may have lost its space.
    let start = match behind.get(1) {
        Some(b' ') => at + 10,
        None | Some(b'\r' | b'\n') => at + 9,
        _ => return None,
    };
    Some(Line { is_stderr, goes_on, content: start.min(end)..end })
}

/// Without the line end only: white space before it may be the middle of a text.
fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}
