//! `sigma_match(value, path, test, operand…)`: a test of a Sigma rule on a text, a list, or what lies in a JSON text.
//!
//! What plain SQL cannot say in one expression: any element of a list, any value at a path, numbers in texts. Which Sigma
//! modifier becomes which test is the business of `rule::sigma`.

use super::json_path::{Leaf, any_at};
use super::{About, Function, Strings, coerce_list, in_network, is_text, json_strings};
use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, ListArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

const ABOUT: About = About {
    syntax: "sigma_match(value, path, test, operand, …)",
    text: "Whether a text, an element of a list, or a value at a dotted path of a JSON text passes a test with one of \
           the operands. Path '' is the value itself, '*' every text inside a JSON. Tests: equals, contains, \
           startswith, endswith and, without regard to case, iequals, icontains, istartswith, iendswith; regex; \
           network (CIDR); =, >, >=, <, <= for numbers; is (true or false); exists; ishares (anything at the path in \
           the second operand of what is in the first).",
    example: "SELECT call_id FROM calls WHERE sigma_match(arguments, 'path', 'iendswith', '.pem', '.key')",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_arrays("sigma_match", &ABOUT, DataType::Boolean, coerce, sigma_match)
}

fn coerce(types: &[DataType]) -> Result<Vec<DataType>> {
    const USAGE: &str = "sigma_match takes a text or a list, a path, a test and operands";
    let Some((value, texts)) = types.split_first().filter(|(_, texts)| texts.len() >= 2) else {
        return plan_err!("{USAGE}");
    };
    if let Some(other) = texts.iter().find(|t| !is_text(t)) {
        return plan_err!("{USAGE}; found {other} in place of a text");
    }
    let value = match value {
        text if is_text(text) => DataType::Utf8,
        other => match coerce_list(other) {
            Some(DataType::List(field)) if is_text(field.data_type()) || field.data_type().is_nested() => {
                DataType::List(field)
            }
            _ => return plan_err!("{USAGE}; found {other}"),
        },
    };
    Ok(std::iter::once(value).chain(texts.iter().map(|_| DataType::Utf8)).collect())
}

fn sigma_match(args: &[ArrayRef]) -> Result<ArrayRef> {
    let rows = args[0].len();
    let paths = Strings::of(&args[1])?;
    let texts = args[2..].iter().map(|array| Strings::of(array)).collect::<Result<Vec<_>>>()?;
    let values = Values::of(&args[0], paths)?;
    let mut answers = Vec::with_capacity(rows);
    // Nearly always test and operands are the same in all rows: compiled once.
    let mut last: Option<(Vec<&str>, Test)> = None;
    for row in 0..rows {
        let given: Option<Vec<&str>> = texts.iter().map(|text| text.get(row)).collect();
        let (Some(given), Some(path)) = (given, paths.get(row)) else {
            answers.push(None);
            continue;
        };
        let test = match &last {
            Some((known, test)) if *known == given => test,
            _ => &last.insert((given.clone(), Test::of(&given)?)).1,
        };
        answers.push(values.any(row, path, &mut |leaf| test.holds(&leaf)));
    }
    Ok(Arc::new(BooleanArray::from(answers)))
}

/// What is tested: texts, or lists of texts.
enum Values<'a> {
    Texts(Strings<'a>),
    Lists(&'a ListArray, Strings<'a>),
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef, paths: Strings<'_>) -> Result<Self> {
        let Some(list) = array.as_list_opt::<i32>() else { return Ok(Self::Texts(Strings::of(array)?)) };
        let Some(fields) = list.values().as_struct_opt() else {
            return Ok(Self::Lists(list, Strings::of(list.values())?));
        };
        // A list of structs is looked at through one of their fields, which a query names.
        let name = paths.iter().flatten().next().unwrap_or_default();
        let field =
            fields.column_by_name(name).map_or(Ok(Strings::Null(fields.len())), |column| Strings::of(column))?;
        Ok(Self::Lists(list, field))
    }

    /// `None` where there is no value.
    fn any(&self, row: usize, path: &str, found: &mut dyn FnMut(Leaf<'_>) -> bool) -> Option<bool> {
        match self {
            Self::Texts(texts) => {
                let text = texts.get(row)?;
                Some(match path {
                    "" => found(Leaf::Text(Cow::Borrowed(text))),
                    "*" => json_strings::any(text, &mut |text| found(Leaf::Text(text))),
                    path => any_at(text, path, found),
                })
            }
            Self::Lists(list, texts) => {
                if list.is_null(row) {
                    return None;
                }
                let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
                let mut leaves = std::iter::once(Leaf::Container)
                    .chain(range.into_iter().filter_map(|at| Some(Leaf::Text(Cow::Borrowed(texts.get(at)?)))));
                Some(leaves.any(found))
            }
        }
    }
}

/// A test with its operands, ready.
enum Test {
    Text { how: How, ignore_case: bool, operands: Vec<String> },
    Patterns(Vec<Regex>),
    Networks(Vec<(IpAddr, u32)>),
    Numbers(fn(&f64, &f64) -> bool, Vec<f64>),
    Is(bool),
    Exists,
}

#[derive(Clone, Copy)]
enum How {
    Equals,
    Contains,
    Starts,
    Ends,
}

impl Test {
    fn of(given: &[&str]) -> Result<Self> {
        let (name, operands) = given.split_first().map_or(("", given), |(name, rest)| (*name, rest));
        let texts = |how: How, ignore_case: bool| {
            let operand = |text: &&str| if ignore_case { text.to_lowercase() } else { (*text).to_owned() };
            Ok(Self::Text { how, ignore_case, operands: operands.iter().map(operand).collect() })
        };
        let numbers = |compare: fn(&f64, &f64) -> bool| match operands.iter().map(|text| text.parse()).collect() {
            Ok(operands) => Ok(Self::Numbers(compare, operands)),
            Err(error) => exec_err!("sigma_match: {name} compares numbers: {error}"),
        };
        match name {
            "equals" => texts(How::Equals, false),
            "contains" => texts(How::Contains, false),
            "startswith" => texts(How::Starts, false),
            "endswith" => texts(How::Ends, false),
            "iequals" => texts(How::Equals, true),
            "icontains" => texts(How::Contains, true),
            "istartswith" => texts(How::Starts, true),
            "iendswith" => texts(How::Ends, true),
            "regex" => {
                let compiled = operands.iter().map(|pattern| RegexBuilder::new(pattern).build());
                match compiled.collect() {
                    Ok(patterns) => Ok(Self::Patterns(patterns)),
                    Err(error) => exec_err!("sigma_match: {error}"),
                }
            }
            "network" => {
                let networks: Option<Vec<_>> = operands.iter().map(|text| in_network::parse_network(text)).collect();
                match networks {
                    Some(networks) => Ok(Self::Networks(networks)),
                    None => exec_err!("sigma_match: no network in CIDR notation: {operands:?}"),
                }
            }
            "=" => numbers(|a, b| (a - b).abs() < f64::EPSILON),
            ">" => numbers(|a, b| a > b),
            ">=" => numbers(|a, b| a >= b),
            "<" => numbers(|a, b| a < b),
            "<=" => numbers(|a, b| a <= b),
            "is" => Ok(Self::Is(operands.first() == Some(&"true"))),
            "exists" => Ok(Self::Exists),
            "ishares" => match operands {
                [text, path] => {
                    let mut shared = Vec::new();
                    let mut keep = |leaf: Leaf<'_>| {
                        shared.extend(leaf.text().map(|text| text.to_lowercase()));
                        false
                    };
                    if path.is_empty() {
                        keep(Leaf::Text(Cow::Borrowed(text)));
                    } else {
                        any_at(text, path, &mut keep);
                    }
                    Ok(Self::Text { how: How::Equals, ignore_case: true, operands: shared })
                }
                _ => exec_err!("sigma_match: ishares takes a text and a path"),
            },
            other => exec_err!("sigma_match: there is no test {other:?}"),
        }
    }

    fn holds(&self, leaf: &Leaf<'_>) -> bool {
        match self {
            Self::Text { how, ignore_case, operands } => leaf.text().is_some_and(|text| {
                let text = if *ignore_case { Cow::Owned(text.to_lowercase()) } else { text };
                operands.iter().any(|operand| match how {
                    How::Equals => text == operand.as_str(),
                    How::Contains => text.contains(operand),
                    How::Starts => text.starts_with(operand),
                    How::Ends => text.ends_with(operand),
                })
            }),
            Self::Patterns(patterns) => {
                leaf.text().is_some_and(|text| patterns.iter().any(|pattern| pattern.is_match(&text)))
            }
            Self::Networks(networks) => match leaf {
                Leaf::Text(text) => networks.iter().any(|network| in_network::lies_in(text, *network)),
                _ => false,
            },
            Self::Numbers(compare, operands) => {
                leaf.number().is_some_and(|number| operands.iter().any(|operand| compare(&number, operand)))
            }
            Self::Is(wanted) => match leaf {
                Leaf::Bool(is) => is == wanted,
                Leaf::Text(text) => match text.to_lowercase().as_str() {
                    "true" | "1" | "yes" => *wanted,
                    "false" | "0" | "no" => !wanted,
                    _ => false,
                },
                _ => false,
            },
            Self::Exists => true,
        }
    }
}
