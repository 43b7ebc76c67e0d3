//! A file that grows batch by batch and is put aside when it is full: `alerts.jsonl`, `alerts.jsonl.1`, `.2`, the oldest last.
//!
//! A batch counts as delivered once it is on the disk. What a killed writer left behind the last line end is cut off before anything is
//! added: its alert was not counted as delivered and comes again.

use super::settings::FileTarget;
use super::{Destination, Message, Outcome, Preview, http};
use crate::sink::Encoding;
use async_trait::async_trait;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A torn line is looked for in so many bytes.
const TAIL: u64 = 16 << 20;

pub(super) struct FileSink {
    target: FileTarget,
    encoding: Encoding,
    open: Option<File>,
}

impl FileSink {
    pub(super) fn new(target: &FileTarget, encoding: Encoding) -> Self {
        Self { target: target.clone(), encoding, open: None }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some(file) => file,
            None => open(&self.target.path)?,
        };
        let length = file.metadata()?.len();
        if self.target.rotate_at > 0 && length > 0 && length.saturating_add(bytes.len() as u64) > self.target.rotate_at
        {
            drop(file);
            rotate(&self.target.path, self.target.keep)?;
            file = open(&self.target.path)?;
        }
        let before = file.metadata()?.len();
        if let Err(cause) = file.write_all(bytes).and_then(|()| file.sync_data()) {
            // A full disk must not leave half a batch that the next try would double.
            let _ = file.set_len(before);
            return Err(cause);
        }
        self.open = Some(file);
        Ok(())
    }
}

#[async_trait]
impl Destination for FileSink {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        match self.write(&http::encoded(self.encoding, batch)) {
            Ok(()) => Outcome::delivered(batch.len()),
            Err(cause) => {
                Outcome::unreachable(batch.len(), format!("cannot write `{}`: {cause}", self.target.path.display()))
            }
        }
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        let to = format!("append to {}", self.target.path.display());
        Preview { to, bytes: http::encoded(self.encoding, batch) }
    }
}

/// Opens the file for adding, alone, with nothing behind its last line end.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).read(true).append(true).open(path)?;
    // A pipe or a device knows no end to cut and no disk to wait for.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another calltrail is writing to it"));
        }
        // Some network file systems know no locks.
        Err(TryLockError::Error(_)) => {}
    }
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    if tail.last().is_some_and(|last| *last != b'\n') {
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
        file.set_len(start + whole)?;
    }
    Ok(file)
}

fn rotate(path: &Path, keep: usize) -> io::Result<()> {
    let aside = |number: usize| -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    };
    if keep == 0 {
        return std::fs::remove_file(path);
    }
    // Only those that are there, up to the first gap: `keep` may be any number.
    let there = (1..keep).take_while(|number| aside(*number).exists()).count();
    for number in (1..=there).rev() {
        std::fs::rename(aside(number), aside(number + 1))?;
    }
    std::fs::rename(path, aside(1))
}
