//! CallTrail's own SQL functions: one file per function, and the list of them.
//!
//! All are immutable and see nothing but their arguments, so a rule answers the same tomorrow and the functions can
//! be registered on a remote executor. NULL in any argument gives NULL. To add one: a file with `udf()`, a line in
//! [`all`] or [`aggregates`], a `tests/slt/<name>.slt` and a row in `docs/sql.md`.

pub mod address;
mod aggregate;
mod beacon_score;
mod command_mentions;
mod command_sends;
mod command_text;
mod entropy;
mod globs;
mod hands_over;
mod has_capability;
mod has_marker;
mod host_of;
mod in_network;
mod is_credential_path;
mod is_internal_address;
mod is_link_signature;
mod is_mention;
mod is_metadata_address;
mod is_other_language;
mod is_work_item;
mod json_path;
mod json_strings;
mod json_text_at;
mod json_texts_at;
mod mad;
mod memo;
mod path_escapes;
mod regex;
mod registrable_domain;
mod result_text;
mod says_denied;
mod sigma_match;
mod variables;

pub use in_network::parse_network;
pub(super) use regex::functions as regex_functions;
pub(super) use result_text::udf as result_text;

use ::regex::{Regex, RegexSet};
use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Float64Array, LargeStringArray, ListArray, StringArray, StringBuilder,
    StringViewArray,
};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, DocSection, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use memo::{Known, Memo};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// Every function of ours.
pub fn all() -> Vec<ScalarUDF> {
    vec![
        command_mentions::udf(),
        command_sends::udf(),
        command_text::udf(),
        entropy::udf(),
        hands_over::udf(),
        has_capability::udf(),
        has_marker::udf(),
        host_of::udf(),
        in_network::udf(),
        is_credential_path::udf(),
        is_internal_address::udf(),
        is_link_signature::udf(),
        is_mention::udf(),
        is_metadata_address::udf(),
        is_other_language::udf(),
        is_work_item::udf(),
        json_strings::udf(),
        json_text_at::udf(),
        json_texts_at::udf(),
        path_escapes::udf(),
        registrable_domain::udf(),
        result_text::udf(),
        says_denied::begins(),
        says_denied::udf(),
        sigma_match::udf(),
    ]
}

/// Every aggregate function of ours; they work as window functions too.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![beacon_score::udaf(), mad::udaf()]
}

/// What a function's documentation says; DataFusion shows it in `information_schema.routines`.
pub(crate) struct About {
    pub(crate) syntax: &'static str,
    pub(crate) text: &'static str,
    pub(crate) example: &'static str,
}

/// What a function computes.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    Bool(fn(&str) -> bool),
    Float(fn(&str) -> f64),
    Text(fn(&str) -> Option<String>),
    BoolOfTwo(fn(&str, &str) -> bool),
    TextOfTwo(fn(&str, &str) -> Option<String>),
    /// Arrays of one length in, an array of that length out.
    Arrays(fn(&[ArrayRef]) -> Result<ArrayRef>),
}

/// Checks argument types and says what they are coerced to.
type Coerce = fn(&[DataType]) -> Result<Vec<DataType>>;

/// The same in DataFusion's own functions, where that can be said of these arguments.
type Simpler = fn(&[Expr], &SimplifyContext) -> Result<Option<Expr>>;

/// A SQL function made of its documentation and its body.
pub(crate) struct Function {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    documentation: Documentation,
    body: Body,
    /// For signatures that only the function itself can describe.
    coerce: Option<Coerce>,
    /// For one that takes longer than to look up what it has answered.
    memo: Option<Memo>,
    /// For one that says in DataFusion's terms what scans can try by themselves.
    simpler: Option<Simpler>,
}

impl Function {
    /// A function of one text, or of two if its body takes two.
    pub(crate) fn of_texts(name: &'static str, about: &About, body: Body) -> ScalarUDF {
        let (texts, returns) = match body {
            Body::Bool(_) => (1, DataType::Boolean),
            Body::Float(_) => (1, DataType::Float64),
            Body::Text(_) => (1, DataType::Utf8),
            Body::BoolOfTwo(_) => (2, DataType::Boolean),
            Body::TextOfTwo(_) => (2, DataType::Utf8),
            Body::Arrays(_) => (1, list_of_texts()),
        };
        let signature = Signature::string(texts, Volatility::Immutable);
        ScalarUDF::new_from_impl(Self::build(name, about, signature, returns, body, None))
    }

    /// As [`Self::of_texts`], of one text, and remembers what it has answered.
    pub(crate) fn remembering(name: &'static str, about: &About, body: Body) -> ScalarUDF {
        let returns = if matches!(body, Body::Bool(_)) { DataType::Boolean } else { DataType::Utf8 };
        let signature = Signature::string(1, Volatility::Immutable);
        let function = Self::build(name, about, signature, returns, body, None);
        ScalarUDF::new_from_impl(Self { memo: Some(Memo::default()), ..function })
    }

    /// A function whose argument types `coerce` decides.
    pub(crate) fn of_arrays(
        name: &'static str,
        about: &About,
        returns: DataType,
        coerce: Coerce,
        body: fn(&[ArrayRef]) -> Result<ArrayRef>,
    ) -> ScalarUDF {
        let signature = Signature::user_defined(Volatility::Immutable);
        ScalarUDF::new_from_impl(Self::build(name, about, signature, returns, Body::Arrays(body), Some(coerce)))
    }

    /// As [`Self::of_arrays`], or the same in DataFusion's own functions.
    pub(crate) fn of_arrays_or(
        name: &'static str,
        about: &About,
        returns: DataType,
        coerce: Coerce,
        body: fn(&[ArrayRef]) -> Result<ArrayRef>,
        simpler: Simpler,
    ) -> ScalarUDF {
        let signature = Signature::user_defined(Volatility::Immutable);
        let function = Self::build(name, about, signature, returns, Body::Arrays(body), Some(coerce));
        ScalarUDF::new_from_impl(Self { simpler: Some(simpler), ..function })
    }

    fn build(
        name: &'static str,
        about: &About,
        signature: Signature,
        returns: DataType,
        body: Body,
        coerce: Option<Coerce>,
    ) -> Self {
        let section = DocSection { include: true, label: "CallTrail", description: None };
        let documentation =
            Documentation::builder(section, about.text, about.syntax).with_sql_example(about.example).build();
        Self { name, signature, returns, documentation, body, coerce, memo: None, simpler: None }
    }

    fn is_so(&self, body: fn(&str) -> bool, text: &str) -> bool {
        let Some(memo) = &self.memo else { return body(text) };
        memo.get(text, || Known::Bool(body(text))) == Known::Bool(true)
    }

    fn texts<'a>(&self, body: fn(&str) -> Option<String>, texts: impl Iterator<Item = Option<&'a str>>) -> StringArray {
        let Some(memo) = &self.memo else { return texts.map(|text| text.and_then(body)).collect() };
        let make = |text: &str| match body(text) {
            Some(made) if made == text => Known::Same,
            made => Known::Text(made.map(Arc::from)),
        };
        let mut all = StringBuilder::new();
        for text in texts {
            let known = text.map(|text| (text, memo.get(text, || make(text))));
            all.append_option(known.as_ref().and_then(|(text, known)| match known {
                Known::Text(made) => made.as_deref(),
                _ => Some(*text),
            }));
        }
        all.finish()
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match self.coerce {
            Some(coerce) => coerce(types),
            None => plan_err!("{} takes texts", self.name),
        }
    }
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let simpler = self.simpler.map(|simpler| simpler(&args, info)).transpose()?.flatten();
        Ok(simpler.map_or(ExprSimplifyResult::Original(args), ExprSimplifyResult::Simplified))
    }
    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Constants are computed once, and everything else is an array: no function handles the mixed cases itself.
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let texts = |at: usize| Ok::<_, DataFusionError>(Strings::of(&arrays[at])?.iter());
        let pairs = || Ok::<_, DataFusionError>(texts(0)?.zip(texts(1)?).map(|(a, b)| a.zip(b)));
        let result: ArrayRef = match self.body {
            Body::Bool(body) => {
                Arc::new(texts(0)?.map(|t| t.map(|text| self.is_so(body, text))).collect::<BooleanArray>())
            }
            Body::Float(body) => Arc::new(texts(0)?.map(|t| t.map(body)).collect::<Float64Array>()),
            Body::Text(body) => Arc::new(self.texts(body, texts(0)?)),
            Body::BoolOfTwo(body) => {
                Arc::new(pairs()?.map(|pair| pair.map(|(a, b)| body(a, b))).collect::<BooleanArray>())
            }
            Body::TextOfTwo(body) => {
                Arc::new(pairs()?.map(|pair| pair.and_then(|(a, b)| body(a, b))).collect::<StringArray>())
            }
            Body::Arrays(body) => body(&arrays)?,
        };
        if constant { Ok(ScalarValue::try_from_array(&result, 0)?.into()) } else { Ok(result.into()) }
    }
}

// Two functions of one name are the same function; fn pointers do not compare reliably.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Function {}
impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A constant pattern, compiled when it is first asked for.
type Pattern = LazyLock<Regex>;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("constant patterns compile")
}

/// Constant patterns of which any one will do.
fn any_of(texts: &[&str]) -> RegexSet {
    RegexSet::new(texts).expect("constant patterns compile")
}

/// A column of texts in any of Arrow's layouts.
#[derive(Clone, Copy)]
pub(crate) enum Strings<'a> {
    Utf8(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
    /// NULL in every row.
    Null(usize),
}

impl<'a> Strings<'a> {
    /// Reads an array as texts.
    pub(crate) fn of(array: &'a dyn Array) -> Result<Self> {
        match array.data_type() {
            DataType::Utf8 => Ok(Self::Utf8(array.as_string())),
            DataType::LargeUtf8 => Ok(Self::Large(array.as_string())),
            DataType::Utf8View => Ok(Self::View(array.as_string_view())),
            DataType::Null => Ok(Self::Null(array.len())),
            other => plan_err!("expected text, found {other}"),
        }
    }

    /// The text of one row.
    pub(crate) fn get(self, row: usize) -> Option<&'a str> {
        match self {
            Self::Utf8(a) => a.is_valid(row).then(|| a.value(row)),
            Self::Large(a) => a.is_valid(row).then(|| a.value(row)),
            Self::View(a) => a.is_valid(row).then(|| a.value(row)),
            Self::Null(_) => None,
        }
    }

    /// Number of rows.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Utf8(a) => a.len(),
            Self::Large(a) => a.len(),
            Self::View(a) => a.len(),
            Self::Null(rows) => rows,
        }
    }

    /// All rows in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Option<&'a str>> {
        (0..self.len()).map(move |row| self.get(row))
    }
}

/// The type of a list of texts.
pub(crate) fn list_of_texts() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

/// Whether a type is one of Arrow's text layouts, or the type of a bare NULL.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

/// Any list type as a 32-bit list, so that one code path reads them all; NULL becomes a list of texts.
pub(crate) fn coerce_list(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Null => Some(list_of_texts()),
        DataType::List(_) => Some(data_type.clone()),
        DataType::LargeList(f) | DataType::ListView(f) | DataType::FixedSizeList(f, _) => {
            Some(DataType::List(f.clone()))
        }
        _ => None,
    }
}

/// For each row whether `matches` holds for an element of the list; NULL where the list or `other` is NULL.
pub(crate) fn any_element(
    list: &ListArray,
    other: impl Fn(usize) -> bool,
    matches: impl Fn(usize, usize) -> bool,
) -> BooleanArray {
    (0..list.len())
        .map(|row| {
            if list.is_null(row) || !other(row) {
                return None;
            }
            let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
            Some(range.into_iter().any(|element| matches(row, element)))
        })
        .collect()
}
