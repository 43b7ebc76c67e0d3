//! What a tool can do, as far as can be told from outside: the table of known servers, the tool's name, the first
//! sentence of its description, its annotations; of a call whose tool they say nothing of, a command in its arguments. A
//! guess errs to nothing: a tool that cannot be read has no capability.

mod known;

use crate::call::{Bits, Capability};
use crate::source::json::{self, Object};
use Capability::{Credentials, Destructive, Egress, Executes, Pays, ReadsPrivate, ReadsUntrusted, Writes};
use known::{GATEWAYS, KNOWN, PREFIXES, READS};
use std::collections::HashMap;
use std::sync::RwLock;

/// Words and what they make of a tool, wherever they stand in its name.
const ANYWHERE: &[(&str, &[Capability])] = &[
    ("credential credentials secret secrets vault password passwords apikey keychain", &[Credentials]),
    ("pay payment payments refund purchase buy checkout payout money withdraw", &[Pays, Writes]),
    (
        "shell bash powershell terminal eval subprocess sudo ssh osascript applescript interpreter repl ipython stdin",
        &[Executes],
    ),
    ("webhook tweet broadcast", &[Egress]),
];

/// Verbs: at the start of a name, or after the name of the server or the object.
const VERBS: &[(&str, &[Capability])] = &[
    ("send post publish share upload forward reply tweet notify email submit push invite broadcast", &[Egress, Writes]),
    (
        "delete drop remove destroy purge truncate wipe erase terminate uninstall revoke kill unlink",
        &[Destructive, Writes],
    ),
    ("exec execute run eval spawn launch", &[Executes]),
    ("transfer charge wire remit topup", &[Pays, Writes]),
    (
        "create write update edit insert set add put save modify append patch rename move upsert commit merge overwrite replace copy \
         schedule reschedule cancel book reserve assign change apply reset install enable disable deploy restart restore attach detach grant promote \
         turn toggle lock unlock arm disarm",
        &[Writes],
    ),
    ("fetch browse crawl scrape navigate visit goto", &[ReadsUntrusted]),
];

const READ: &str = "get read list search find query view show describe lookup retrieve download open fetch browse check load dump export count";
const PRIVATE: &str = "mail mails email emails inbox message messages thread threads file files directory folder db database table tables sql rows \
    document documents doc docs note notes contact contacts calendar event events account accounts transaction transactions balance user users \
    profile customer customers order orders record records channel channels conversation conversations history repo repository drive issue issues \
    ticket tickets pull pr attachment attachments memory memories query reservation reservations employee employees payroll salary salaries \
    patient patients lead leads invoice invoices bill bills holdings portfolio";
const UNTRUSTED: &str = "mail mails email emails inbox message messages thread threads web page pages webpage website url html issue issues comment \
    comments review reviews pull pr ticket tickets feed rss post posts tweet tweets article news internet online attachment attachments";
/// What others get to see when it is created.
const SHOWN: &str = "issue comment pull pr gist post message release webhook event meeting ticket discussion review page paste invite invitation";
const SQL: &str = "sql query statement";
/// What is paid by when it is created, and what when it is sent; creating a transaction is also what budgets and databases do.
const PAID: &str = "transfer transfers sepa wire remittance";
const SENT: &str = "transaction transactions";
/// What changes hands without a payment.
const HANDED: &str = "ownership owner repo repository issue ticket call chat conversation file files folder drive drives domain agent human operator";
/// What a payment goes to.
const PAYEE: &str = "account accounts bank wallet iban card savings recipient address user";
/// What is checked out without paying.
const OF_A_REPOSITORY: &str = "git svn branch branches commit commits ref refs tag repo repository";
/// What is worth money to whoever has its code, and what an account is topped up with.
const WORTH: &str = "giftcard giftcards voucher vouchers";
const CREDIT: &str = "credit credits balance points";
/// Who has such an account.
const CUSTOMER: &str = "store shop customer customers loyalty wallet account member";
/// Verbs that give somebody something.
const GIVES: &str = "create add issue send grant give apply assign adjust increase set award load topup";
/// What a page in a browser asks to be filled in.
const FORM: &str = "page webpage website web form forms field fields input inputs";
/// What is downloaded into a folder.
const SAVED: &str = "file files image images video videos attachment attachments document documents dataset archive";
/// What moves when a command opens or closes it.
const MOVES: &str =
    "door doors gate gates garage cover covers blind blinds shutter shutters valve valves lock locks curtain curtains";
/// What is placed with money.
const PLACED: &str = "order orders trade trades bet bid";
/// What there is to read of a shell without running anything in it.
const OF_A_SHELL: &str =
    "output history log logs session sessions status state selection last key keys hosts config configs";
/// The same in a name without a verb.
const SHOWN_BY_SHELL: &str = "output history last selection logs status";
/// Names of nothing but these words are clients of HTTP: they carry whatever they are given to wherever they are told.
const HTTP: &str = "http https curl wget rest api request requests call invoke make send execute do raw client tool post put patch delete get head";

/// Capabilities of tools: what is known, and what the user says.
#[derive(Clone, Debug, Default)]
pub struct Table {
    overrides: Vec<(String, String, Bits)>,
}

impl Table {
    /// The table of widely used servers alone.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// Adds what the user says: server glob, tool glob, capabilities. The last entry that fits decides alone.
    pub fn with_overrides(mut self, entries: Vec<(String, String, Vec<Capability>)>) -> Self {
        self.overrides
            .extend(entries.into_iter().map(|(server, tool, capabilities)| (server, tool, bits(&capabilities))));
        self
    }

    /// What a tool can do. `annotations` is the JSON text of its MCP annotations, if they are known.
    pub fn of(
        &self,
        server: Option<&str>,
        tool: &str,
        description: Option<&str>,
        annotations: Option<&str>,
        server_info_name: Option<&str>,
    ) -> Bits {
        self.decide((server, server_info_name), tool, description, hints(annotations))
    }

    /// What the user says of a tool, if anything.
    pub(crate) fn said(&self, server: Servers<'_>, tool: &str) -> Option<Bits> {
        let names = || [server.0, server.1].into_iter().flatten();
        let fits = |(server, of_tool, _): &&(String, String, Bits)| {
            (server == "*" || names().any(|name| glob(server, name))) && glob(of_tool, tool)
        };
        self.overrides.iter().rev().find(fits).map(|(.., said)| *said)
    }

    fn decide(
        &self,
        server: Servers<'_>,
        tool: &str,
        description: Option<&str>,
        (read_only, destructive): Hints,
    ) -> Bits {
        if let Some(said) = self.said(server, tool) {
            return said;
        }
        let names = [server.0, server.1].into_iter().flatten();
        let words = words(tool);
        let guess = || {
            let mut guess = of_words(&words);
            if let Some(description) = description {
                guess = guess.union(of_description(description, guess.is_empty()));
            }
            guess
        };
        let acts = bits(&[Egress, Writes, Destructive, Executes, Pays]).0;
        // A known tool is what the table says, whatever its server calls it: some call every click destructive.
        let mut found = match known(names, &words, tool) {
            Some((found, true)) => return found,
            // What is said of all other tools of a server that reads is not true of one whose name says that it acts.
            Some((found, false)) => {
                let is_said = found.is_empty() || found.0 & acts != 0 || reads(&words) || read_only == Some(true);
                let guess = if is_said { found } else { guess() };
                if guess.0 & acts != 0 { guess } else { found }
            }
            None => {
                let mut guess = guess();
                // Hints are the server's own word: they only take back what was guessed.
                if read_only == Some(true) {
                    guess.0 &= !bits(&[Writes, Destructive]).0;
                }
                guess
            }
        };
        if destructive == Some(true) && read_only != Some(true) {
            found = found.union(bits(&[Writes, Destructive]));
        }
        found
    }
}

/// Alias and `serverInfo.name`.
type Servers<'a> = (Option<&'a str>, Option<&'a str>);
/// `readOnlyHint` and `destructiveHint`.
type Hints = (Option<bool>, Option<bool>);

/// Remembers answers: a log names the same few tools millions of times.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    answers: RwLock<HashMap<u64, Bits>>,
    hasher: ahash::RandomState,
}

impl Cache {
    /// Enough for any fleet; a log that makes up tool names must not fill the memory.
    const LIMIT: usize = 1 << 16;

    /// [`Table::of`] with annotations that have been read.
    pub(crate) fn of(
        &self,
        table: &Table,
        server: Servers<'_>,
        tool: &str,
        description: Option<&str>,
        hints: Hints,
    ) -> Bits {
        let key = self.hasher.hash_one((server, tool, description, hints));
        if let Some(known) = self.answers.read().ok().and_then(|answers| answers.get(&key).copied()) {
            return known;
        }
        let answer = table.decide(server, tool, description, hints);
        if let Ok(mut answers) = self.answers.write()
            && answers.len() < Self::LIMIT
        {
            answers.insert(key, answer);
        }
        answer
    }
}

/// What a tool's annotations say.
pub(crate) fn hints(annotations: Option<&str>) -> Hints {
    let annotations = annotations.map(Object::trusted).unwrap_or_default();
    (annotations.bool("readOnlyHint"), annotations.bool("destructiveHint"))
}

fn bits(capabilities: &[Capability]) -> Bits {
    capabilities.iter().fold(Bits::default(), |mut bits, capability| {
        bits.add(*capability as u32);
        bits
    })
}

/// What the known server that one of the names means says of a tool, and whether of this tool or of all that it names no
/// further.
fn known<'n>(names: impl Iterator<Item = &'n str>, words: &[String], tool: &str) -> Option<(Bits, bool)> {
    // "GitHub" is two words and one name.
    let spelled = names.flat_map(|name| [self::words(name).join("-"), flat(name)]);
    let servers: Vec<String> = spelled.filter(|name| !GATEWAYS.contains(&name.as_str())).collect();
    line(&servers, words, tool).or_else(|| {
        let (first, others) = words.split_first()?;
        if others.is_empty() || !in_list(PREFIXES, first) {
            return None;
        }
        line(std::slice::from_ref(first), words, tool)
    })
}

fn line(servers: &[String], words: &[String], tool: &str) -> Option<(Bits, bool)> {
    let names: Vec<String> = servers.iter().map(|name| format!("-{name}-")).collect();
    let is = |server: &str| names.iter().any(|name| name.contains(&format!("-{server}-")));
    let (joined, lower) = (words.join("_"), tool.to_lowercase());
    let at_words = format!("_{joined}");
    // The tool without the name of its server.
    let rest =
        words.split_first().filter(|(first, rest)| !rest.is_empty() && is(first)).map(|(_, rest)| rest.join("_"));
    let fits = |pattern: &str| match pattern.strip_prefix('*') {
        _ if pattern == READS => reads(words),
        Some("") => true,
        Some(pattern) => glob(&format!("*_{pattern}"), &at_words),
        None => [Some(&joined), Some(&lower), rest.as_ref()].into_iter().flatten().any(|name| glob(pattern, name)),
    };
    KNOWN
        .iter()
        .find(|(servers, tools, _)| {
            servers.split_ascii_whitespace().any(is) && tools.split_ascii_whitespace().any(fits)
        })
        .map(|(_, tools, capabilities)| (bits(capabilities), *tools != "*"))
}

/// A name in small letters, with a dash for whatever is no letter or digit.
fn flat(name: &str) -> String {
    let lower: String = name.chars().take(256).flat_map(char::to_lowercase).collect();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// The words of a name in snake_case, kebab-case or camelCase, lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    // No real name is longer.
    let mut chars = name.chars().take(256).peekable();
    while let Some(ch) = chars.next() {
        let starts =
            ch.is_uppercase() && (!previous.is_uppercase() || chars.peek().is_some_and(|next| next.is_lowercase()));
        if !ch.is_alphanumeric() || starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| ch.is_alphanumeric()) {
            word.extend(ch.to_lowercase());
        }
        previous = ch;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_verb(word: &str) -> bool {
    in_list(READ, word) || VERBS.iter().any(|(list, _)| in_list(list, word))
}

/// The verb of a name: its first word, or the first that is one after the server's or the object's name.
fn verb<W: AsRef<str>>(words: &[W]) -> &str {
    let mut verbs = words.iter().map(AsRef::as_ref).filter(|word| is_verb(word));
    let first = verbs.next().unwrap_or_default();
    // "email_search" searches.
    if first == "email" { verbs.next().unwrap_or(first) } else { first }
}

fn reads<W: AsRef<str>>(words: &[W]) -> bool {
    in_list(READ, verb(words))
}

fn of_words<W: AsRef<str>>(words: &[W]) -> Bits {
    let has = |list: &str| words.iter().any(|word| in_list(list, word.as_ref()));
    let mut found = Bits::default();
    for (list, capabilities) in ANYWHERE {
        if has(list) {
            found = found.union(bits(capabilities));
        }
    }
    let verb = verb(words);
    let reads = in_list(READ, verb);
    // Who looks at a payment makes none, nor who checks a branch out.
    let looks = matches!(
        verb,
        "get" | "read" | "list" | "search" | "find" | "query" | "view" | "show" | "describe" | "lookup" | "retrieve"
    );
    if found.has(Pays as u32) && looks {
        found.0 &= !bits(&[Pays, Writes]).0;
        found.add(ReadsPrivate as u32);
    }
    if has("checkout") && has(OF_A_REPOSITORY) {
        found.0 &= !bits(&[Pays]).0;
    }
    for (list, capabilities) in VERBS {
        if in_list(list, verb) {
            found = found.union(bits(capabilities));
        }
    }
    if found.has(Writes as u32)
        && has(SHOWN)
        && matches!(verb, "create" | "add" | "write" | "update" | "schedule" | "edit")
    {
        found.add(Egress as u32);
    }
    if reads && has(PRIVATE) {
        found.add(ReadsPrivate as u32);
    }
    if reads && (has(UNTRUSTED) || (verb == "search" && words.len() == 1)) {
        found.add(ReadsUntrusted as u32);
    }
    let asks = matches!(verb, "get" | "read" | "list" | "show" | "view") && has(OF_A_SHELL);
    if asks || verb.is_empty() && has(SHOWN_BY_SHELL) {
        found.0 &= !bits(&[Executes]).0;
    }
    if verb == "transfer" {
        // An agent that is handed a conversation is named after "to".
        let agent = words.first().is_some_and(|word| word.as_ref() == "transfer")
            && words.get(1).is_some_and(|word| word.as_ref() == "to");
        if has(HANDED) || agent && !has(PAYEE) {
            found.0 &= !bits(&[Pays]).0;
        }
    }
    // In a sentence "place" and "order" are common words.
    if words.len() <= 5 && words.iter().take(2).any(|word| word.as_ref() == "place") && has(PLACED) {
        found = found.union(bits(&[Pays, Writes]));
    }
    if found.has(Executes as u32) && has(SQL) {
        found = Bits(found.0 & !bits(&[Executes]).0).union(bits(&[ReadsPrivate, Writes, Destructive]));
    }
    let creates = matches!(verb, "create" | "send" | "schedule" | "submit");
    if creates && (has(PAID) || verb != "create" && has(SENT)) && !has("file files data") {
        found = found.union(bits(&[Pays, Writes]));
    }
    let first = words.first().map(AsRef::as_ref).unwrap_or_default();
    let last = words.last().map(AsRef::as_ref).unwrap_or_default();
    let is_worth = has("gift") && has("card cards") || has(WORTH) || has(CREDIT) && has(CUSTOMER);
    let gives = [first, last].into_iter().any(|word| in_list(GIVES, word)) || words.len() > 2 && last == "credit";
    if is_worth && gives && !reads {
        found = found.union(bits(&[Pays, Writes]));
    }
    // What is typed into a page goes to whoever runs it.
    if matches!(first, "input" | "fill" | "type" | "enter") && has(FORM) {
        found = found.union(bits(&[Egress, Writes]));
    }
    if verb == "download" && has(SAVED) {
        found.add(Writes as u32);
    }
    if words.iter().any(|word| matches!(word.as_ref(), "open" | "close" | "raise" | "lower")) && has(MOVES) {
        found.add(Writes as u32);
    }
    if is_http_client(words) {
        // Who posts to a place does not read it.
        if !has("post put patch delete") {
            found.add(ReadsUntrusted as u32);
        }
        if !has("get head") {
            found.add(Egress as u32);
        }
    }
    // Asking for a token to be read is one thing, counting tokens another.
    if has("token tokens") && matches!(verb, "get" | "create" | "read" | "list" | "fetch") {
        found.add(Credentials as u32);
    }
    found
}

fn is_http_client<W: AsRef<str>>(words: &[W]) -> bool {
    let is = |list: &str| words.iter().any(|word| in_list(list, word.as_ref()));
    let only_such = words.iter().all(|word| in_list(HTTP, word.as_ref()));
    only_such
        && (is("http https curl wget requests")
            || is("api rest") && is("request call invoke post put patch")
            || is("request"))
}

/// What the first sentence of a description says; of a tool whose name says something, only what is grave.
fn of_description(description: &str, name_says_nothing: bool) -> Bits {
    let sentence = description.split(['.', '\n']).next().unwrap_or_default();
    let sentence = &sentence[..sentence.floor_char_boundary(200)];
    let mut words = words(sentence);
    // "Sends a message" and "Send a message" are the same tool.
    if let Some(first) = words.first_mut() {
        let verb = first.strip_suffix("es").filter(|stem| VERBS.iter().any(|(list, _)| in_list(list, stem)));
        *first = verb.or_else(|| first.strip_suffix('s')).unwrap_or(first).to_owned();
    }
    let opens_with_verb = words.first().is_some_and(|word| is_verb(word));
    let found = if opens_with_verb { of_words(&words) } else { Bits::default() };
    if name_says_nothing { found } else { Bits(found.0 & bits(&[Egress, Destructive, Executes, Pays]).0) }
}

/// Names of arguments that are a command, where nothing else is known of the tool.
const COMMANDS: &[&str] =
    &["command", "cmd", "commandLine", "command_line", "shell_command", "script", "bash", "shell"];
/// What commands begin with.
const PROGRAMS: &str = "sudo env sh bash zsh cmd powershell pwsh cd ls cat cp mv rm mkdir chmod chown find grep rg sed awk head tail echo printf \
    export set curl wget ssh scp rsync nc tar zip unzip git gh npm npx pnpm yarn node bun deno python python3 pip pip3 uv uvx ruby perl php java \
    go cargo make cmake gcc docker podman kubectl helm terraform tofu aws gcloud az psql mysql sqlite3 redis-cli mongosh systemctl journalctl \
    crontab apt apt-get yum dnf brew openssl base64 ps kill whoami uname";

/// What the arguments say of a tool of which nothing else is known: who takes commands or code runs them.
pub(crate) fn of_arguments(arguments: &str) -> Bits {
    let arguments = Object::trusted(arguments);
    let is_command = |text: &str| {
        let first = text.split_ascii_whitespace().next().unwrap_or_default();
        let program = first.rsplit(['/', '\\']).next().unwrap_or(first).trim_end_matches(".exe");
        in_list(PROGRAMS, program) || ["&&", " | ", "; ", "$("].iter().any(|mark| text.contains(mark)) && first != text
    };
    let command = COMMANDS.iter().any(|name| {
        arguments.str(name).is_some_and(|text| is_command(&text))
            || arguments.array(name).first().and_then(|word| json::string(word)).is_some_and(|word| is_command(&word))
    });
    if command || (arguments.has("code") && arguments.has("language")) { bits(&[Executes]) } else { Bits::default() }
}

fn in_list(list: &str, word: &str) -> bool {
    !word.is_empty() && list.split_ascii_whitespace().any(|entry| entry == word)
}

/// Shell-like match of a whole name; `*` stands for any characters, case does not matter.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b) if b.eq_ignore_ascii_case(&name[n]) || *b == b'?' => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}
