//! No byte is lost or read twice, whatever the bytes and however the reader hands them out.

use super::*;
use proptest::prelude::*;

/// A reader that gives a few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.0.len().min(self.1).min(out.len());
        out[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

fn chunks(bytes: &[u8], step: usize) -> (Framing, Vec<Chunk>) {
    let mut framer = Framer::new(Slow(bytes, step), 0, blake3::Hasher::new(), None).expect("memory can be read");
    let mut chunks = Vec::new();
    while let Some(chunk) = framer.next_chunk().expect("memory can be read") {
        chunks.push(chunk);
    }
    (framer.framing(), chunks)
}

fn records_of(bytes: &[u8], step: usize, expected: Framing) -> Vec<String> {
    let (framing, chunks) = chunks(bytes, step);
    assert_eq!(framing, expected);
    let texts = chunks.iter().flat_map(|chunk| {
        let records = chunk.records.clone().expect("records that are no lines have places");
        records.into_iter().map(|(start, end)| String::from_utf8_lossy(&chunk.bytes[start..end]).into_owned())
    });
    texts.collect()
}

fn documents_of(bytes: &[u8]) -> Vec<String> {
    records_of(bytes, usize::MAX, Framing::Documents)
}

#[test]
fn pretty_documents_and_arrays_are_framed_by_value() {
    assert_eq!(documents_of(b"{\n \"a\": \"}\"\n}\n{\n \"b\": 2\n}\n").len(), 2);
    assert_eq!(documents_of(b"[\n  {\"a\": 1},\n  {\"b\": [1, 2]}\n]\n"), ["{\"a\": 1}", "{\"b\": [1, 2]}"]);
    // Cut off: what is whole is kept, the rest is one piece.
    assert_eq!(documents_of(b"{\n \"a\": 1\n}\n{\n \"b\": ").len(), 2);
}

#[test]
fn a_long_array_on_one_line_is_framed_by_value() {
    let element = format!("{{\"a\":\"{}\"}}", "x".repeat(CHUNK / 3));
    assert_eq!(documents_of(format!("[{}]", [element.as_str(); 5].join(",")).as_bytes()), [element.as_str(); 5]);
    // A batch of messages is one record.
    assert_eq!(chunks(b"[{\"a\":1},{\"b\":2}]", 3).0, Framing::Lines);
}

#[test]
fn the_head_holds_the_first_record_however_long() {
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(3 * CHUNK));
    let framer = |bytes: &[u8]| {
        Framer::new(Slow(bytes, 1 << 16), 0, blake3::Hasher::new(), None).map(|framer| framer.is_within_first())
    };
    assert!(!framer(line.as_bytes()).expect("memory can be read"));
    assert!(framer(&line.as_bytes()[..2 * CHUNK]).expect("memory can be read"));
}

#[test]
fn a_log_whose_first_line_is_broken_stays_a_log() {
    let (framing, _) = chunks(b"{\"a\":\"cut\n{\"b\":1}\n{\"c\":2}\n", 5);
    assert_eq!(framing, Framing::Lines);
    let (framing, _) = chunks(b"{\"a\":1}\n{\"b\":1}\n", 3);
    assert_eq!(framing, Framing::Lines);
}

proptest! {
    #[test]
    fn every_byte_is_in_one_chunk(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), Just(b'}'), Just(b'"'), Just(b'['), any::<u8>()], 0..600), step in 1usize..80) {
        let (_, chunks) = chunks(&bytes, step);
        let joined: Vec<u8> = chunks.iter().flat_map(|c| c.bytes.clone()).collect();
        prop_assert_eq!(&joined, &bytes);
        let mut offset = 0;
        for chunk in &chunks {
            prop_assert_eq!(chunk.offset, offset);
            offset += chunk.length();
            for pair in chunk.records.iter().flatten() {
                prop_assert!(pair.0 < pair.1 && pair.1 <= chunk.bytes.len());
            }
        }
        if let Some(last) = chunks.last() {
            prop_assert_eq!(last.digest, blake3::hash(&bytes));
        }
    }
}

#[test]
fn a_line_without_end_is_passed_over_in_bounded_memory() {
    let length = 2 * MAX_RECORD as u64;
    // A line that nobody has in memory, and a short one behind it.
    let stream = io::repeat(b'x').take(length - 1).chain(&b"\n{}\n"[..]);
    let mut framer = Framer::new(stream, 0, blake3::Hasher::new(), None).expect("framer");
    let first = framer.next_chunk().expect("readable").expect("a chunk");
    assert_eq!(first.refused.map(|(_, length)| length), Some(length));
    assert!(first.bytes.len() <= 4096);
    // Twice the limit, because a buffer doubles when it grows.
    assert!(framer.rest.capacity() <= 2 * MAX_RECORD + 2 * CHUNK, "{} bytes kept", framer.rest.capacity());
    let second = framer.next_chunk().expect("readable").expect("a chunk");
    assert_eq!((second.bytes.as_slice(), second.offset), (&b"{}\n"[..], length));
    assert!(framer.next_chunk().expect("readable").is_none());
}

/// Found by fuzzing: a record that was too long by less than a chunk was one if the reads happened to show its end.
#[test]
fn a_record_that_is_too_long_is_refused_wherever_it_ends() {
    let kinds = [(Framing::Lines, "", ""), (Framing::Lines, "", "\n"), (Framing::Documents, "{\"a\":\"", "\"}\n")];
    for (framing, open, close) in kinds {
        for more in [1, CHUNK as u64 / 2, CHUNK as u64] {
            let length = MAX_RECORD as u64 + more;
            let inside = io::repeat(b'x').take(length - (open.len() + close.trim_end().len()) as u64);
            let stream = open.as_bytes().chain(inside).chain(close.as_bytes());
            let mut framer = Framer::new(stream, 0, blake3::Hasher::new(), Some(framing)).expect("framer");
            let chunk = framer.next_chunk().expect("readable").expect("a chunk");
            let line_end = (close.len() - close.trim_end().len()) as u64;
            assert_eq!(chunk.refused.map(|(_, length)| length), Some(length + line_end), "{framing:?} {more}");
        }
    }
}

/// A stream is read on from where a chunk ended, which may be before or behind the white space in front of its last record.
#[test]
fn white_space_in_front_of_an_unfinished_record_is_none_of_it() {
    for text in ["abc", "  abc", "\n , abc", "  {\"a\": 1"] {
        let digest = blake3::Hasher::new();
        let mut framer = Framer::new(text.as_bytes(), 0, digest, Some(Framing::Documents)).expect("memory can be read");
        let chunk = framer.next_chunk().expect("memory can be read").expect("a chunk");
        let start = text.find(['a', '{']).expect("a record");
        assert_eq!(chunk.records, Some(vec![(start, text.len())]), "{text:?}");
        assert!(chunk.ends_open && framer.next_chunk().expect("memory can be read").is_none());
    }
}

/// What is shown of a refused piece is of that piece.
#[test]
fn a_document_without_end_is_given_up_line_by_line() {
    let stream = b"{\"a\":\n\"".chain(io::repeat(b'x').take(2 * MAX_RECORD as u64));
    let mut framer =
        Framer::new(stream, 0, blake3::Hasher::new(), Some(Framing::Documents)).expect("memory can be read");
    let chunk = framer.next_chunk().expect("memory can be read").expect("a chunk");
    assert!(chunk.refused.is_some());
    assert_eq!((chunk.bytes.as_slice(), chunk.length()), (&b"{\"a\":\n"[..], 6));
}

#[test]
fn rows_of_a_table_are_framed_whole() {
    let head = "id,type,source,text,end\n";
    for (rows, count) in [
        ("1,\"a\nb\",2\n3,c,4\n", 2),
        ("1,\"a \"\"q\"\",\n\"\r\n3,\"\",\"x\n\ny\"", 2),
        // A quote in the middle of a field is none, and one that ends a field in the middle is no end: what follows is not swallowed.
        ("1,a\"b,2\n3,4,5\n", 2),
        ("1,\"cut\n2,\"x\",3\n4,5,6\n", 3),
        // Cut off: the rest is one piece.
        ("1,2,3\n4,\"a\nb\nc", 2),
    ] {
        for step in [1, 7, usize::MAX] {
            let records = records_of(format!("{head}{rows}").as_bytes(), step, Framing::Rows);
            assert_eq!(records.len(), 1 + count, "{rows:?}: {records:?}");
            assert_eq!(records.concat(), format!("{head}{rows}"));
        }
    }
    for first in ["a b c", "a,b", "a,b,,d", "2026-11-10,info,start,x"] {
        assert_eq!(chunks(format!("{first}\n").as_bytes(), 9).0, Framing::Lines, "{first}");
    }
}

/// A line of Docker's: whole if it ends a line.
fn docker(text: &str, output: &str) -> String {
    format!("{{\"log\":\"{text}\",\"stream\":\"{output}\",\"time\":\"2026-11-10T09:12:33.1Z\"}}\n")
}

fn cri(text: &str, output: &str, flag: char) -> String {
    format!("2026-11-10T09:12:33.123456789Z {output} {flag} {text}\n")
}

#[test]
fn chunks_end_where_no_line_is_in_parts() {
    let part = "x".repeat(16 << 10);
    let lines: Vec<String> = (0..400)
        .flat_map(|_| {
            [
                docker(&part, "stdout"),
                docker("other\\n", "stderr"),
                docker(&part, "stdout"),
                docker("end\\n", "stdout"),
                cri("one", "stderr", 'P'),
                cri("whole", "stdout", 'F'),
                cri("two", "stderr", 'F'),
            ]
        })
        .collect();
    let text = lines.concat();
    let (_, chunks) = chunks(text.as_bytes(), usize::MAX);
    assert!(chunks.len() > 3);
    for chunk in &chunks {
        assert_eq!(parts::unfinished(&chunk.bytes), None, "at {}", chunk.offset);
        assert!(!chunk.ends_open && chunk.bytes.len() <= 2 * CHUNK);
    }
}

#[test]
fn a_line_whose_last_part_is_missing_waits_or_is_the_last_chunk() {
    let text = [cri("whole", "stdout", 'F'), cri("{\"a\":", "stdout", 'P'), cri("1", "stdout", 'P')].concat();
    let (_, chunks) = chunks(text.as_bytes(), usize::MAX);
    let lengths: Vec<_> = chunks.iter().map(|chunk| (chunk.bytes.len(), chunk.ends_open)).collect();
    let whole = cri("whole", "stdout", 'F').len();
    assert_eq!(lengths, [(whole, false), (text.len() - whole, true)]);
    let digest = blake3::Hasher::new();
    let mut framer = Framer::new(text.as_bytes(), 0, digest, None).expect("memory can be read");
    framer.wait_for_ends();
    assert_eq!(framer.next_chunk().expect("readable").map(|chunk| chunk.bytes.len()), Some(whole));
    assert!(framer.next_chunk().expect("readable").is_none() && framer.place(false).is_unfinished);
}

#[test]
fn what_was_cut_is_put_together() {
    let joined = |lines: &[String]| {
        let bytes = lines.concat().into_bytes();
        let (mut joiner, mut given_up, mut start, mut found) = (parts::Joiner::default(), Vec::new(), 0, Vec::new());
        for line in lines {
            let step = joiner.line(&bytes, (start, start + line.len()), 0, &mut given_up);
            start += line.len();
            if let parts::Step::Ends(parts) = step {
                found.push(String::from_utf8_lossy(&parts.text(&bytes).0).trim_end().to_owned());
            }
        }
        (found, given_up.len() + joiner.rest().count())
    };
    let cut = [cri("a ", "stdout", 'P'), cri("x", "stderr", 'F'), cri(" b", "stdout", 'P'), cri("", "stdout", 'F')];
    assert_eq!(joined(&cut), (vec!["2026-11-10T09:12:33.123456789Z stdout P a  b".to_owned()], 0));
    let part = "é".repeat(8 << 10);
    let cut = [docker(&part, "stdout"), docker("e\\n", "stderr"), docker("end\\\\n\\n", "stdout")];
    let whole = docker(&format!("{part}end\\\\n\\n"), "stdout");
    assert_eq!(joined(&cut), (vec![whole.trim_end().to_owned()], 0));
    // Short lines without a line end are whole: a collector has trimmed them.
    assert_eq!(joined(&[docker("a", "stdout"), docker("b", "stdout")]), (Vec::new(), 0));
    // An object is whole with its last line; what has a date is another line, and so is what is too long.
    let open = "2026-11-09T10:02:15.839Z [a] [info] Using MCP server command: npx with args and path: {\n".to_owned();
    let lines = |rest: &[&str]| {
        let rest = rest.iter().map(|line| format!("{line}\n"));
        std::iter::once(open.clone()).chain(rest).collect::<Vec<_>>()
    };
    let object = lines(&["  args: [", "    'x'", "  ]", "} %o"]);
    assert_eq!(joined(&object), (vec![object.concat().trim_end().to_owned()], 0));
    assert_eq!(joined(&lines(&["  args: [", "2026-11-09T10:02:16.000Z [a] [info] x", "} %o"])), (Vec::new(), 1));
    assert_eq!(joined(&lines(&["x".repeat(80 << 10).as_str(), "} %o"])), (Vec::new(), 1));
    for (rest, start) in [(&["  a"][..], Some(3)), (&["  a", "}"], None), (&["  a", "2026-11-09T1 x"], None)] {
        let text = ["x {\n".to_owned()].into_iter().chain(lines(rest)).collect::<String>();
        let start = start.map(|start| parts::Unfinished { start: start + 1, is_alone: true });
        assert_eq!(parts::unfinished(text.as_bytes()), start, "{rest:?}");
    }
    // The other output does not wait for ever.
    let mut long = vec![cri("Name? ", "stdout", 'P')];
    long.extend((0..2000).map(|at| cri(&format!("line {at}"), "stderr", 'F')));
    assert_eq!(joined(&long), (Vec::new(), 1));
}
