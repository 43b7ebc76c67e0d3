//! Standard output, for pipes and for looking at what a sink would get.

use super::{Destination, Message, Outcome, Preview, Stdout, http};
use crate::sink::Encoding;
use async_trait::async_trait;

pub(super) struct StdoutSink {
    encoding: Encoding,
    stdout: Stdout,
}

impl StdoutSink {
    pub(super) fn new(encoding: Encoding, stdout: Stdout) -> Self {
        Self { encoding, stdout }
    }
}

#[async_trait]
impl Destination for StdoutSink {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        let mut out = (self.stdout)();
        let written = out.write_all(&http::encoded(self.encoding, batch)).and_then(|()| out.flush());
        match written {
            Ok(()) => Outcome::delivered(batch.len()),
            // Whoever reads has seen enough, or the disk behind it is full.
            Err(cause) => {
                let answer = format!("cannot write to standard output: {cause}");
                Outcome { stop: Some(answer.clone()), ..Outcome::unreachable(batch.len(), answer) }
            }
        }
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        Preview { to: "standard output".to_owned(), bytes: http::encoded(self.encoding, batch) }
    }
}
