//! Writes `rules.rs`: the files below `queries/` with their texts, for the release to carry inside.
//!
//! In debug builds the list is empty and nothing depends on the folder: rules are read from it when they are needed.
//!
//! It also hashes what a rule's SQL means besides its text (`CALLTRAIL_ENGINE`): views, functions, and the versions of the libraries under them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What the meaning of SQL is made of.
const ENGINE: [&str; 6] =
    ["Cargo.lock", "queries/views", "src/enrich/result_text.rs", "src/query", "src/source/json", "src/source/json.rs"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    if variable("PROFILE") != "debug" {
        println!("cargo::rerun-if-changed=queries");
        collect(&root.join("queries"), &mut files)?;
        files.sort();
    }
    let mut code = String::from("pub(super) static FILES: &[(&str, &str)] = &[\n");
    for file in &files {
        let name = file.strip_prefix(&root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        // Writing to a String does not fail.
        let _ = writeln!(code, "    ({name:?}, include_str!({:?})),", file.to_string_lossy());
    }
    code.push_str("];\n");
    fs::write(Path::new(&variable("OUT_DIR")).join("rules.rs"), code)?;
    let mut hash = Fnv::new();
    for part in ENGINE.map(|part| root.join(part)).iter().filter(|part| part.exists()) {
        println!("cargo::rerun-if-changed={}", part.display());
        let mut files = Vec::new();
        below(part, &mut files)?;
        files.sort();
        for file in files {
            hash.add(file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().replace('\\', "/").as_bytes());
            hash.add(&fs::read(&file)?);
        }
    }
    println!("cargo::rustc-env=CALLTRAIL_ENGINE={:016x}", hash.0);
    Ok(())
}

/// FNV-1a: the same with every compiler, and nobody gains by a collision.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().copied().chain((bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A file, or all files of a folder.
fn below(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            below(&entry?.path(), files)?;
        }
    } else if path.extension().is_some_and(|end| end == "rs" || end == "sql" || end == "lock") {
        files.push(path.to_owned());
    }
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            collect(&path, files)?;
        } else if [".sql", ".yml", ".yaml", ".test.toml"].iter().any(|end| name.ends_with(end)) {
            files.push(path);
        }
    }
    Ok(())
}

fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it for build scripts")
}
