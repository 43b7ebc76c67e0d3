//! What a person would read of a result: its text blocks, one after the other.
//!
//! Reads what MCP servers and the transcripts of agents write: `content[].text`, embedded resources, `contents[].text`,
//! messages of prompts, a bare string, an array of blocks. What has no such blocks gives all its strings.

use super::walk::{Kind, Tape};
use crate::source::json;

/// The text of a result, at most `limit` bytes of it. Text that is no JSON is its own text.
pub fn result_text(result_json: &str, limit: usize) -> String {
    let mut tape = Tape::default();
    if !tape.parse(result_json) {
        return result_json[..result_json.floor_char_boundary(limit)].to_owned();
    }
    let mut out = Blocks { text: result_json, tape: &tape, limit, out: String::new() };
    out.blocks(0);
    if out.out.is_empty() {
        for (i, _) in tape.nodes.iter().enumerate().filter(|(_, node)| node.kind == Kind::String) {
            out.push(i);
        }
    }
    out.out
}

struct Blocks<'a> {
    text: &'a str,
    tape: &'a Tape,
    limit: usize,
    out: String,
}

impl Blocks<'_> {
    /// Collects what is text in a value that is a block, or holds blocks.
    fn blocks(&mut self, at: usize) {
        match self.tape.nodes[at].kind {
            Kind::String => self.push(at),
            Kind::Array => {
                for element in self.tape.elements(at) {
                    self.blocks(element);
                }
            }
            Kind::Object => {
                for name in ["text", "resource", "content", "contents", "messages"] {
                    if let Some(value) = self.tape.member(self.text, at, name) {
                        return self.blocks(value);
                    }
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, string: usize) {
        if self.out.len() >= self.limit {
            return;
        }
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        let text = json::unescape(self.tape.nodes[string].raw(self.text));
        let room = self.limit.saturating_sub(self.out.len());
        self.out.push_str(&text[..text.floor_char_boundary(room)]);
    }
}
