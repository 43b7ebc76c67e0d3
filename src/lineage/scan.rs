//! One result against the arguments of its session: which values it names, and how much of longer texts stands in it.

use super::decode::{self, Encoding};
use super::groups::ungrouped;
use super::index::{Index, Place, SHINGLE, same_letters};
use super::joined::Part;
use super::value::core;
use super::words::{Word, mix, sequence, words};
use crate::source::json;
use std::borrow::Cow;

/// What counts as content: so many words and bytes in one stretch. A stock phrase ("please let me know if you have any questions") has
/// nine words, so short stretches count only beside a longer one.
pub(super) const STRETCH_WORDS: usize = 8;
pub(super) const STRETCH_BYTES: usize = 40;
/// Letters of an encoded run in a result that is decoded.
const RUN: usize = 32;
/// Hits of one result that are looked at: a result full of one repeated line has no end of them.
const HITS: usize = 1 << 18;

/// A text's share in a longer text of an argument.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// The call whose argument it is.
    pub(super) sink: u32,
    /// The view with most of it.
    pub(super) view: u32,
    pub(super) bytes: u64,
    pub(super) encoding: Encoding,
    /// Least hash of its shingles: the same content moved on has the same one, mostly.
    pub(super) least: u64,
    /// More than half of it stood in arguments that were sent before the text was known.
    pub(super) is_old: bool,
}

/// What a text has in common with the session's arguments.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) values: Vec<(u32, Encoding)>,
    pub(super) content: Vec<Content>,
    /// Values inside longer words of arguments.
    pub(super) parts: Vec<Part>,
}

/// Room that scanning uses again and again.
#[derive(Default)]
pub struct Scratch {
    words: Vec<Word>,
    covers: Vec<Cover>,
}

/// A shingle of the text that an argument has.
#[derive(Clone, Copy)]
struct Cover {
    view: u32,
    word: u32,
    /// Word of the scanned text.
    here: u32,
    first: u32,
    hash: u64,
}

impl Index {
    /// What a text has in common with arguments. `follows` tells of a call whether it comes after the text.
    pub(super) fn scan(&self, text: &str, scratch: &mut Scratch, follows: &dyn Fn(u32) -> bool) -> Hits {
        let mut hits = Hits::default();
        if self.values.is_empty() && self.views.is_empty() {
            return hits;
        }
        self.scan_one(text, Encoding::Verbatim, scratch, follows, &mut hits);
        if !self.joined.is_empty() {
            let word_of = |view: u32, word: u32| {
                let (sink, view) = &self.views[view as usize];
                let word = &view.words[word as usize];
                follows(*sink).then(|| &view.text[word.start as usize..word.end as usize])
            };
            self.joined.parts(text, &scratch.words, &word_of, &mut hits.parts);
        }
        for run in ungrouped(text, &scratch.words) {
            let mut list = Vec::new();
            words(&run, &mut list);
            self.values_at(&list, |value, _| {
                if let Some(dress) = dress(&run, &self.values[value as usize].text) {
                    hits.values.push((value, Encoding::Whitespace.over(dress)));
                }
            });
        }
        if scratch.words.iter().any(|word| word.len() >= RUN) {
            // Base64 is folded, and in JSON a line end is `\n`.
            let unfolded =
                if text.contains("\\n") { Cow::Owned(text.replace("\\n", "\n")) } else { Cow::Borrowed(text) };
            let mut found = Vec::new();
            decode::runs(&unfolded, &mut |encoding, text| found.push((encoding, text)));
            for (encoding, text) in found {
                self.scan_one(&text, encoding, scratch, follows, &mut hits);
            }
        }
        if let Some(plain) = Some(text).filter(|text| text.matches('%').take(3).count() == 3).and_then(decode::url) {
            self.scan_one(&plain, Encoding::Url, scratch, follows, &mut hits);
        }
        hits.values.sort_unstable();
        hits.values.dedup_by_key(|(value, _)| *value);
        hits
    }

    fn scan_one(
        &self,
        text: &str,
        encoding: Encoding,
        scratch: &mut Scratch,
        follows: &dyn Fn(u32) -> bool,
        hits: &mut Hits,
    ) {
        scratch.words.clear();
        scratch.covers.clear();
        words(text, &mut scratch.words);
        let Scratch { words, covers } = scratch;
        for at in 0..words.len() {
            self.values_at(&words[at..], |value, length| {
                if hits.values.len() < HITS
                    && let Some(found) = core(text, words, &(at..at + length))
                    && let Some(dress) = dress(found, &self.values[value as usize].text)
                {
                    hits.values.push((value, encoding.over(dress)));
                }
            });
            if let Some(shingle) = words.get(at..at + SHINGLE) {
                let hash = sequence(shingle);
                for (Place { view, word, .. }, first) in self.places(hash) {
                    if covers.len() < HITS && follows(self.views[view as usize].0) {
                        covers.push(Cover { view, word, here: at as u32, first, hash });
                    }
                }
            }
        }
        covers.sort_unstable_by_key(|cover| (cover.view, cover.word, cover.here));
        covers.dedup_by_key(|cover| (cover.view, cover.word));
        let mut content: Vec<Content> = Vec::new();
        for of_view in covers.chunk_by(|a, b| a.view == b.view) {
            let Some(found) = self.content(text, words, encoding, of_view, follows) else { continue };
            let path = |view: u32| &self.views[view as usize].1.path;
            // Another reading of the same argument is the same content.
            match content.iter_mut().find(|known| known.sink == found.sink && path(known.view) == path(found.view)) {
                Some(known) if known.bytes < found.bytes => *known = found,
                Some(_) => {}
                None => content.push(found),
            }
        }
        for found in content {
            add(&mut hits.content, found);
        }
    }

    /// What one view has of the text, if it is enough.
    fn content(
        &self,
        text: &str,
        words: &[Word],
        encoding: Encoding,
        covers: &[Cover],
        follows: &dyn Fn(u32) -> bool,
    ) -> Option<Content> {
        let (sink, view) = &self.views[covers[0].view as usize];
        let (mut bytes, mut old) = (0u64, 0usize);
        let mut longest: Option<(u64, std::ops::Range<u32>, u32)> = None;
        let mut stretch = covers[0].word..covers[0].word;
        let mut begin = covers[0].here;
        let mut end = |stretch: &std::ops::Range<u32>, begin: u32| {
            let last = view.words[stretch.end as usize - 1].end;
            let length = u64::from(last - view.words[stretch.start as usize].start);
            bytes += length;
            let is_long = stretch.len() >= STRETCH_WORDS && length >= STRETCH_BYTES as u64;
            if is_long && longest.as_ref().is_none_or(|(known, ..)| *known < length) {
                longest = Some((length, stretch.clone(), begin));
            }
        };
        for cover in covers {
            old += usize::from(!follows(cover.first));
            if cover.word > stretch.end && !stretch.is_empty() {
                end(&stretch, begin);
                stretch.start = cover.word;
                begin = cover.here;
            }
            stretch.end = cover.word + SHINGLE as u32;
        }
        end(&stretch, begin);
        let (_, stretch, begin) = longest?;
        let here = core(text, words, &(begin as usize..(begin as usize + stretch.len()).min(words.len())));
        let there = core(&view.text, &view.words, &(stretch.start as usize..stretch.end as usize));
        let dress = here.zip(there).and_then(|(here, there)| dress(here, there)).unwrap_or(Encoding::Whitespace);
        Some(Content {
            sink: *sink,
            view: covers[0].view,
            bytes,
            encoding: view.encoding.over(encoding.over(dress)),
            least: covers.iter().map(|cover| mix(cover.hash, 0)).min().unwrap_or_default(),
            is_old: old * 2 > covers.len(),
        })
    }
}

/// Adds up what several texts of one call's arguments hold.
fn add(content: &mut Vec<Content>, found: Content) {
    match content.iter_mut().find(|known| known.sink == found.sink) {
        Some(known) => {
            let bytes = known.bytes + found.bytes;
            let least = known.least.min(found.least);
            if found.bytes > known.bytes {
                *known = found;
            }
            known.bytes = bytes;
            known.least = least;
        }
        None => content.push(found),
    }
}

/// How a stretch of a result became the argument's; `None` if more than case, white space and encodings differs. A result is
/// stored as JSON, so one layer of its escapes is no change.
fn dress(result: &str, argument: &str) -> Option<Encoding> {
    if result == argument {
        return Some(Encoding::Verbatim);
    }
    let once = unescaped(result);
    if once == argument {
        return Some(Encoding::Verbatim);
    }
    if once.to_lowercase() == argument.to_lowercase() {
        return Some(Encoding::Case);
    }
    if same_letters(&once, argument) || same_letters(result, argument) {
        return Some(Encoding::Whitespace);
    }
    let twice = unescaped(&once);
    if twice.len() < once.len() && same_letters(&twice, argument) {
        return Some(Encoding::Json);
    }
    decode::url(&once).filter(|plain| same_letters(plain, argument)).map(|_| Encoding::Url)
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    json::unescape_into(text, &mut out);
    Cow::Owned(out)
}
