//! What a function has answered before: many rules ask the same of the same texts.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the answers that one function remembers.
const ROOM: usize = 32 << 20;
/// What an answer takes beside its text.
const ENTRY: usize = 64;
/// Parts with a lock each, so that threads seldom wait for each other.
const PARTS: usize = 16;

/// An answer about one text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    Bool(bool),
    /// The text itself.
    Same,
    /// Another text, or NULL.
    Text(Option<Arc<str>>),
}

/// Answers by digests of texts: a text that was chosen to meet another's digest must not get that one's answer.
#[derive(Default)]
pub(super) struct Memo {
    parts: [Mutex<HashMap<[u8; 16], Known>>; PARTS],
    bytes: AtomicUsize,
}

impl Memo {
    /// The answer about a text, made only if it is not known.
    pub(super) fn get(&self, text: &str, make: impl FnOnce() -> Known) -> Known {
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
        let part = &self.parts[usize::from(key[0]) % PARTS];
        if let Some(known) = part.lock().get(&key) {
            return known.clone();
        }
        let made = make();
        let bytes = ENTRY
            + match &made {
                Known::Text(Some(text)) => text.len(),
                _ => 0,
            };
        if self.bytes.load(Ordering::Relaxed) + bytes <= ROOM {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            part.lock().insert(key, made.clone());
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Memo, ROOM};
    use std::sync::atomic::Ordering;

    #[test]
    fn an_answer_is_made_once_for_each_text_as_long_as_there_is_room() {
        let memo = Memo::default();
        let long = |text: &str| Known::Text(Some(text.repeat(ROOM / 4).into()));
        assert_eq!(memo.get("a", || Known::Bool(true)), Known::Bool(true));
        assert_eq!(memo.get("b", || Known::Same), Known::Same);
        assert_eq!(memo.get("a", || panic!("it is known")), Known::Bool(true));
        assert_eq!(memo.get("c", || long("12345")), long("12345"), "too long to keep, and given all the same");
        assert_eq!(memo.get("c", || Known::Text(None)), Known::Text(None));
        assert!(memo.bytes.load(Ordering::Relaxed) < 1024);
    }
}
