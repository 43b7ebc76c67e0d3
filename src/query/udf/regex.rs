//! DataFusion's `regexp_like` and `regexp_replace`, with their patterns compiled once in place of once a batch.
//!
//! The patterns of rules are long, and compiling one takes longer than matching a batch with it. What they compute is DataFusion's to
//! say: patterns that are not constant are handed on to its own functions.

use super::Strings;
use ::regex::Regex;
use arrow::array::{ArrayRef, BooleanArray, StringArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::functions::regex;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Compiled patterns that are kept; rules have some hundred.
const KEPT: usize = 2000;

/// The functions, under the names of those whose place they take.
pub(crate) fn functions() -> [ScalarUDF; 2] {
    let of = |name, inner| ScalarUDF::new_from_impl(Compiled { name, inner });
    [of(Name::Like, regex::regexp_like()), of(Name::Replace, regex::regexp_replace())]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Like,
    Replace,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Compiled {
    name: Name,
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Compiled {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |at: usize| match args.args.get(at) {
            Some(ColumnarValue::Scalar(value)) => value.try_as_str().flatten(),
            _ => None,
        };
        let done = match (self.name, args.args.as_slice()) {
            (Name::Like, [ColumnarValue::Array(texts), _]) => constant(1).map(|pattern| like(texts, pattern, "")),
            (Name::Like, [ColumnarValue::Array(texts), _, _]) => match (constant(1), constant(2)) {
                (Some(pattern), Some(flags)) if !flags.contains('g') => Some(like(texts, pattern, flags)),
                _ => None,
            },
            (Name::Replace, [ColumnarValue::Array(texts), rest @ ..]) => {
                let flags = if rest.len() == 3 { constant(3) } else { Some("") };
                match (constant(1), constant(2), flags) {
                    (Some(pattern), Some(with), Some(flags)) => replace(texts, pattern, with, flags),
                    _ => None,
                }
            }
            _ => None,
        };
        match done {
            Some(done) => Ok(ColumnarValue::Array(done?)),
            None => self.inner.invoke_with_args(args),
        }
    }
}

fn like(texts: &ArrayRef, pattern: &str, flags: &str) -> Result<ArrayRef> {
    let regex = compiled(flags, pattern)?;
    let matches = Strings::of(texts)?.iter().map(|text| text.map(|text| regex.is_match(text)));
    Ok(Arc::new(matches.collect::<BooleanArray>()))
}

/// `None`: a type of text that is not met here.
fn replace(texts: &ArrayRef, pattern: &str, with: &str, flags: &str) -> Option<Result<ArrayRef>> {
    let replaced = || -> Result<Replace> { Replace::new(pattern, with, flags) };
    match texts.data_type() {
        DataType::Utf8 => Some(replaced().and_then(|replace| {
            let texts = Strings::of(texts)?;
            Ok(Arc::new(texts.iter().map(|text| text.map(|text| replace.text(text))).collect::<StringArray>()) as _)
        })),
        DataType::Utf8View => Some(replaced().and_then(|replace| {
            let texts = Strings::of(texts)?;
            Ok(Arc::new(texts.iter().map(|text| text.map(|text| replace.text(text))).collect::<StringViewArray>()) as _)
        })),
        _ => None,
    }
}

struct Replace {
    regex: Regex,
    with: String,
    all: bool,
    /// What is between `^.*?` and `.*$` of a pattern that keeps its first group and throws the rest away: then finding it is enough.
    group: Option<Regex>,
}

impl Replace {
    fn new(pattern: &str, with: &str, flags: &str) -> Result<Self> {
        static GROUP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\{1,2}(\d+)").expect("a pattern"));
        let with = GROUP.replace_all(with, "$${$1}").into_owned();
        let (all, flags) = (flags.contains('g'), flags.replace('g', ""));
        // A dot that stops at line ends would leave some of the text where it is.
        let inner = pattern.strip_prefix("^.*?").and_then(|rest| rest.strip_suffix(".*$"));
        let group = match inner {
            Some(inner)
                if with == "${1}" && !all && matches!(flags.as_str(), "s" | "is" | "si") && !is_involved(inner) =>
            {
                Some(compiled(&flags, inner)?)
            }
            _ => None,
        };
        Ok(Self { regex: compiled(&flags, pattern)?, with, all, group })
    }

    fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.group {
            Some(group) => match group.captures(text) {
                Some(found) => Cow::Borrowed(found.get(1).map_or("", |group| group.as_str())),
                None => Cow::Borrowed(text),
            },
            None if self.all => self.regex.replace_all(text, self.with.as_str()),
            None => self.regex.replace(text, self.with.as_str()),
        }
    }
}

/// Whether a pattern may have alternatives outside of all groups, or change its own flags; it may say so of one that does neither.
fn is_involved(pattern: &str) -> bool {
    let (mut groups, mut classes, mut escaped) = (0_i32, 0_i32, false);
    for c in pattern.chars() {
        let was_escaped = escaped;
        escaped = !was_escaped && c == '\\';
        match c {
            _ if was_escaped => {}
            '[' => classes += 1,
            ']' if classes > 0 => classes -= 1,
            _ if classes > 0 => {}
            '(' => groups += 1,
            ')' => groups -= 1,
            '|' if groups <= 0 => return true,
            _ => {}
        }
    }
    // A bracket that is the first of a class is a character.
    let flags = pattern.match_indices("(?").any(|(at, _)| !pattern[at..].starts_with("(?:"));
    flags || pattern.contains("[]") || pattern.contains("[^]")
}

fn compiled(flags: &str, pattern: &str) -> Result<Regex> {
    static KNOWN: LazyLock<RwLock<HashMap<String, Regex>>> = LazyLock::new(RwLock::default);
    let pattern = if flags.is_empty() { Cow::Borrowed(pattern) } else { Cow::Owned(format!("(?{flags}){pattern}")) };
    if let Some(known) = KNOWN.read().get(pattern.as_ref()) {
        return Ok(known.clone());
    }
    let regex = Regex::new(&pattern)
        .map_err(|error| DataFusionError::Execution(format!("the regular expression does not compile: {error}")))?;
    let mut known = KNOWN.write();
    if known.len() >= KEPT {
        known.clear();
    }
    known.insert(pattern.into_owned(), regex.clone());
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array as _;
    use arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::common::config::ConfigOptions;

    fn answer(function: &ScalarUDF, texts: &ArrayRef, rest: &[&str]) -> ArrayRef {
        let text = |text: &&str| ColumnarValue::Scalar(ScalarValue::from(*text));
        let args =
            [ColumnarValue::Array(Arc::clone(texts))].into_iter().chain(rest.iter().map(text)).collect::<Vec<_>>();
        let arg_fields = args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type(), true))).collect();
        let types: Vec<DataType> = args.iter().map(ColumnarValue::data_type).collect();
        let return_field = Arc::new(Field::new("r", function.inner().return_type(&types).unwrap(), true));
        let config_options = Arc::new(ConfigOptions::default());
        let args = ScalarFunctionArgs { args, arg_fields, number_rows: texts.len(), return_field, config_options };
        function.invoke_with_args(args).unwrap().into_array(texts.len()).unwrap()
    }

    #[test]
    fn says_what_the_functions_of_datafusion_say() {
        let texts = [
            Some("a curl http://x.example/a | sh\nand\nmore"),
            Some("git push --force origin main; git push"),
            Some("ÄÖÜ wget ß"),
            Some("CURL\nline"),
            Some("nothing"),
            Some(""),
            None,
        ];
        let [like, replace] = functions();
        let (their_like, their_replace) = (regex::regexp_like(), regex::regexp_replace());
        let like_cases: [&[&str]; 6] =
            [&["curl|wget"], &["curl", "i"], &["^$"], &[""], &["l.*e$", "is"], &["^(a|git)\\b.*(sh|push)$", "s"]];
        let replace_cases: [&[&str]; 16] = [
            &["^.*?((curl|wget).{0,4}).*$", r"\1", "is"],
            &["^.*?((curl|wget).{0,4}).*$", r"\1", "s"],
            &["^.*?((curl|wget).{0,4}).*$", r"\1"],
            &["^.*?((curl|wget).{0,4}).*$", r"\1", "i"],
            &["^.*?(curl)?(a|n).*$", r"\1", "is"],
            // Alternatives at the top, also where a class hides a parenthesis; flags inside; groups without a capture.
            &["^.*?(curl)|(git).*$", r"\1", "is"],
            &["^.*?[(]?(curl)|(git).*$", r"\1", "is"],
            &["^.*?[](](curl)|(git).*$", r"\1", "is"],
            &["^.*?(?-s)(curl).*$", r"\1", "is"],
            &["^.*?(?:curl|wget).*$", r"\1", "s"],
            &["^.*?(curl)\\n.*$", r"<\1>", "is"],
            &["^.*?(p.sh).*$", r"\1", "gs"],
            &["[a-z]+", "x", "g"],
            &["[a-z]+", "x", "gi"],
            &["[a-z]+", "x"],
            &["(l)(.)", r"\2\1$"],
        ];
        let layouts: [ArrayRef; 2] =
            [Arc::new(StringArray::from_iter(texts)), Arc::new(StringViewArray::from_iter(texts))];
        for texts in layouts {
            for case in like_cases {
                assert_eq!(&answer(&like, &texts, case), &answer(&their_like, &texts, case), "{case:?}");
            }
            for case in replace_cases {
                // Theirs takes texts of one layout only.
                let theirs = answer(&their_replace, &arrow::compute::cast(&texts, &DataType::Utf8).unwrap(), case);
                let ours = arrow::compute::cast(&answer(&replace, &texts, case), &DataType::Utf8).unwrap();
                assert_eq!(&ours, &theirs, "{case:?}");
            }
        }
    }
}
