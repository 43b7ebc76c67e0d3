//! What a decoded chunk held goes through pairing and to the writer, and is counted.

use super::decode::{CutRecord, DecodedChunk, SourceView, Unfinished};
use super::sources::{Cut, OpenTail};
use super::{IngestError, Ingester, number_of, reject_id};
use crate::call::Call;
use crate::source::Event;
use crate::source::pairing::{Item, Row, Scope, SourceContext};

impl Ingester<'_> {
    pub(super) fn take_chunk(
        &mut self,
        at: usize,
        stream: u64,
        view: &SourceView,
        context: &mut SourceContext,
        decoded: DecodedChunk,
    ) -> Result<(), IngestError> {
        let DecodedChunk {
            mut items,
            rejects,
            mut counts,
            open_tail,
            cut,
            digest,
            line_end,
            unterminated,
            signatures,
            buffer: _,
        } = decoded;
        if let Some(was_call) = self.sources.rows[at].saved.unterminated.filter(|_| line_end > 0) {
            // The end of a line that was read before it was written.
            counts.lines -= 1;
            counts.bytes_ignored -= line_end;
            *(if was_call { &mut counts.bytes_calls } else { &mut counts.bytes_ignored }) += line_end;
            self.sources.rows[at].counts.lines -= 1;
        }
        let first_line = self.sources.rows[at].counts.lines as i64 + 1;
        let number = number_of(&self.sources.rows[at].source_id);
        let mut scope = Scope { number, stream, mtime: view.hints.mtime, source: context };
        let last = cut.map(|cut| (cut, items.split_off(cut.first_item)));
        self.accept(items, first_line, &mut scope);
        let cut = last.and_then(|(CutRecord { offset, bytes: length, lines, .. }, items)| {
            let before = self.out.len();
            self.pairing.begin_undo(&scope, offset);
            self.accept(items, first_line, &mut scope);
            let undo = self.pairing.end_undo(&self.out[before..])?;
            Some(Cut { length, lines, undo })
        });
        let (foreign, foreign_bytes) = self.pairing.take_foreign();
        self.summary.ignored += foreign;
        self.sources.rows[at].counts.ignored += foreign;
        for mut reject in rejects {
            reject.position.line += first_line;
            self.reject(at, &reject);
        }
        let row = &mut self.sources.rows[at];
        row.counts.add(counts);
        row.digest = digest;
        let foreign_bytes = foreign_bytes.min(row.counts.bytes_calls);
        row.counts.bytes_calls -= foreign_bytes;
        row.counts.bytes_ignored += foreign_bytes;
        if line_end > 0 && row.saved.unterminated.is_some() {
            row.counts.lines += 1;
        }
        row.saved.unterminated = unterminated;
        row.saved.cut = cut;
        row.saved.open_tail = open_tail.map(|Unfinished { bytes: length, lines, is_rejected }| OpenTail {
            length,
            lines,
            reject_id: is_rejected.then(|| reject_id(&row.source_id, row.counts.bytes - length)),
        });
        self.summary.signatures.add(signatures);
        self.summary.lines += counts.lines;
        self.summary.ignored += counts.ignored;
        self.summary.rejects += counts.rejects;
        self.drain(at, Some(view))?;
        self.writer.spill()?;
        Ok(())
    }

    /// Takes events into pairing; their lines count from the start of the source.
    fn accept(&mut self, items: Vec<Item>, first_line: i64, scope: &mut Scope<'_>) {
        for mut item in items {
            match &mut item.event {
                Event::Request { call, .. }
                | Event::Response { call, .. }
                | Event::Call { call, .. }
                | Event::Begins { call, .. }
                | Event::Ends { call, .. } => {
                    call.source.line += first_line;
                    if let Some(response) = call.response.as_mut() {
                        response.line += first_line;
                    }
                }
                Event::Prompt(prompt) => prompt.source.line += first_line,
                _ => {}
            }
            self.pairing.accept(scope, item, &mut self.out);
        }
    }

    /// Hands finished rows to the writer.
    pub(super) fn drain(&mut self, at: usize, view: Option<&SourceView>) -> Result<(), IngestError> {
        for row in std::mem::take(&mut self.out) {
            match row {
                Row::Call { call, .. } if self.is_expired(call.time) => {}
                Row::Prompt(prompt) if self.is_expired(prompt.time) => {}
                Row::Call { mut call, observables } => {
                    // At the end of a run rows come from any source that was ever read.
                    let at = if view.is_some() { at } else { self.source_of(&call).unwrap_or(at) };
                    self.enricher.capabilities(&mut call);
                    self.connection(&call);
                    if self.writer.call(call, observables, at) {
                        let (pairing, enricher) = (&self.pairing, &self.enricher);
                        let resolve = |call: &mut Call| pairing.resolve_trace(call);
                        self.writer.flush(&resolve, &|call: &mut Call| enricher.capabilities(call))?;
                    }
                }
                Row::Retract(row) => self.writer.retract(&row),
                Row::Amend { row, said } => self.writer.amend(&row, *said),
                Row::Prompt(prompt) => self.prompt(at, *prompt, view),
                Row::Tool { tool, time, mut connection } => {
                    connection.session_id = connection.session_id.map(|id| self.pairing.conversation(id));
                    self.tool(*tool, time, connection, view);
                }
                Row::Instructions { server, time, text, connection } => {
                    self.instructions(server, time, &text, &connection, view);
                }
            }
        }
        Ok(())
    }
}
