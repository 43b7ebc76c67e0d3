//! Tests of fields as conditions of SQL.
//!
//! SQL has three truth values and Sigma two: `not selection` holds for a call that lacks the field. So every test here is false, never
//! NULL, where its field is: `field IS NOT NULL AND test`. What is built of such tests by AND, OR and NOT has two values as well.

use super::backend::{Converted, refused};
use super::field::{Field, Shape, keyword_columns};
use super::probe::{How, Modifiers, Probe};
use super::sql::{joined, literal};
use rsigma_parser::{Modifier, SigmaValue};

/// Whether something is there.
pub(super) fn exists(field: &Field) -> String {
    let column = field.sql();
    match field.shape {
        Shape::Path(_) => format!("({column} IS NOT NULL AND {})", field.matched("exists", &[])),
        _ => format!("{column} IS NOT NULL"),
    }
}

/// Whether any of the probes holds: probes of one kind share one test.
pub(super) fn any_of(field: &Field, probes: &[Probe]) -> Converted<String> {
    let mut groups: Vec<Vec<&Probe>> = Vec::new();
    for probe in probes {
        match groups.iter_mut().find(|group| same_kind(group[0], probe)) {
            Some(group) => group.push(probe),
            None => groups.push(vec![probe]),
        }
    }
    let parts: Vec<String> = groups.iter().map(|group| test(field, group)).collect::<Converted<_>>()?;
    Ok(joined(&parts, "OR"))
}

fn same_kind(a: &Probe, b: &Probe) -> bool {
    match (a, b) {
        (Probe::Text { how, cased, .. }, Probe::Text { how: other, cased: other_cased, .. }) => {
            how == other && cased == other_cased
        }
        (Probe::Number(operator, _), Probe::Number(other, _)) => operator == other,
        (Probe::Pattern(_), Probe::Pattern(_)) | (Probe::Network(_), Probe::Network(_)) => true,
        _ => false,
    }
}

/// A test of probes of one kind.
fn test(field: &Field, probes: &[&Probe]) -> Converted<String> {
    let (name, operands) = named(probes);
    let column = field.sql();
    let there = |test: String| format!("({column} IS NOT NULL AND {test})");
    let misfit = |what: &str| Err(refused(format!("`{}` is {what}", field.column)));
    let each = |test: &dyn Fn(&String) -> String| joined(&operands.iter().map(test).collect::<Vec<_>>(), "OR");
    let text = match field.shape {
        Shape::Integer | Shape::Boolean => format!("CAST({column} AS VARCHAR)"),
        _ => column.clone(),
    };
    match (&field.shape, probes[0]) {
        (Shape::Path(_), Probe::Null) => Ok(format!("NOT {}", exists(field))),
        (_, Probe::Null) => Ok(format!("{column} IS NULL")),
        (Shape::Time, Probe::Part(part, value)) => Ok(there(format!("date_part('{part}', {column}) = {value}"))),
        (_, Probe::Part(part, _)) => misfit(&format!("no time, which `{part}` looks at")),
        (Shape::Time, _) => misfit("a time: rules look at its parts (`hour`, `day`, …) or whether it exists"),
        (Shape::Path(_) | Shape::Texts, _) => Ok(there(field.matched(&name, &operands))),
        (_, Probe::Text { how, cased, .. }) => {
            let text = if *cased { text } else { format!("lower({text})") };
            let operands: Vec<String> = operands.iter().map(|operand| literal(&folded(operand, *cased))).collect();
            let each = |function: &str| {
                let calls: Vec<String> =
                    operands.iter().map(|operand| format!("{function}({text}, {operand})")).collect();
                joined(&calls, "OR")
            };
            Ok(there(match (how, operands.as_slice()) {
                (How::Equals, [one]) => format!("{text} = {one}"),
                (How::Equals, _) => format!("{text} IN ({})", operands.join(", ")),
                (How::Contains, _) => each("contains"),
                (How::StartsWith, _) => each("starts_with"),
                (How::EndsWith, _) => each("ends_with"),
            }))
        }
        (_, Probe::Pattern(_)) => Ok(there(each(&|pattern| format!("regexp_like({text}, {})", literal(pattern))))),
        (Shape::Text, Probe::Network(_)) => {
            Ok(there(each(&|network| format!("in_network({column}, {})", literal(network)))))
        }
        (_, Probe::Network(_)) => misfit("no text, so no address"),
        (Shape::Integer, Probe::Number(operator, _)) => {
            Ok(there(each(&|number| format!("{column} {operator} {number}"))))
        }
        (Shape::Text, Probe::Number(..) | Probe::Is(_)) => Ok(there(field.matched(&name, &operands))),
        (Shape::Boolean, Probe::Is(true)) => Ok(there(column.clone())),
        (Shape::Boolean, Probe::Is(false)) => Ok(there(format!("NOT {column}"))),
        (Shape::Boolean, Probe::Number(..)) => misfit("true or false, no number"),
        (Shape::Integer, Probe::Is(_)) => misfit("a number, not true or false"),
    }
}

fn folded(text: &str, cased: bool) -> String {
    if cased { text.to_owned() } else { text.to_lowercase() }
}

/// The name of the test in `sigma_match`, and its operands.
fn named(probes: &[&Probe]) -> (String, Vec<String>) {
    let name = match probes.first() {
        Some(Probe::Text { how, cased, .. }) => {
            let how = match how {
                How::Equals => "equals",
                How::Contains => "contains",
                How::StartsWith => "startswith",
                How::EndsWith => "endswith",
            };
            if *cased { how.to_owned() } else { format!("i{how}") }
        }
        Some(Probe::Pattern(_)) => "regex".to_owned(),
        Some(Probe::Network(_)) => "network".to_owned(),
        Some(Probe::Number(operator, _)) => (*operator).to_owned(),
        Some(Probe::Is(_)) => "is".to_owned(),
        _ => "exists".to_owned(),
    };
    let operand = |probe: &&Probe| match probe {
        Probe::Text { operand, .. } => Some(operand.clone()),
        Probe::Pattern(text) | Probe::Network(text) | Probe::Number(_, text) => Some(text.clone()),
        Probe::Is(is) => Some(is.to_string()),
        Probe::Null | Probe::Part(..) => None,
    };
    (name, probes.iter().filter_map(operand).collect())
}

/// A keyword: a text that stands anywhere in the texts of a call.
pub(super) fn keyword(modifiers: &[Modifier], value: &SigmaValue) -> Converted<String> {
    let mut modifiers: Vec<Modifier> =
        modifiers.iter().copied().filter(|modifier| *modifier != Modifier::All).collect();
    let whole = [Modifier::Re, Modifier::StartsWith, Modifier::EndsWith, Modifier::Contains];
    if !modifiers.iter().any(|modifier| whole.contains(modifier)) {
        modifiers.push(Modifier::Contains);
    }
    let probes = Modifiers::of(&modifiers).and_then(|read| read.probes(value)).map_err(refused)?;
    if probes.iter().any(|probe| !matches!(probe, Probe::Text { .. } | Probe::Pattern(_))) {
        return Err(refused("keywords are texts or, with `re`, patterns"));
    }
    let (texts, jsons) = keyword_columns();
    let (name, operands) = named(&probes.iter().collect::<Vec<_>>());
    let operands: String = operands.iter().map(|operand| format!(", {}", literal(operand))).collect();
    let test = literal(&name);
    let in_json = |column: &String| format!("({column} IS NOT NULL AND sigma_match({column}, '*', {test}{operands}))");
    let mut parts = vec![format!("sigma_match(make_array({}), '', {test}{operands})", texts.join(", "))];
    parts.extend(jsons.iter().map(in_json));
    Ok(joined(&parts, "OR"))
}

/// Whether two fields share a text, whatever its case.
pub(super) fn shared(one: &Field, other: &Field) -> Converted<String> {
    let there = format!("{} IS NOT NULL AND {} IS NOT NULL", one.sql(), other.sql());
    let is_plain = |field: &Field| !matches!(field.shape, Shape::Path(_) | Shape::Texts);
    let equal = match (is_plain(one), is_plain(other)) {
        (true, true) => {
            let lower = |field: &Field| field.text().map(|text| format!("lower({text})")).unwrap_or_default();
            format!("{} = {}", lower(one), lower(other))
        }
        // The operand is the one that has a text: a column, or a JSON with a path.
        (one_plain, _) => {
            let (holder, operand) = if one_plain { (other, one) } else { (one, other) };
            let (text, path) = match &operand.shape {
                Shape::Path(path) if operand.text().is_some() => (operand.sql(), path.as_str()),
                _ => match operand.text() {
                    Some(text) => (text, ""),
                    None => {
                        return Err(refused(format!(
                            "`{}` is a list, which `fieldref` cannot compare with",
                            operand.column
                        )));
                    }
                },
            };
            let path_of = |field: &Field| match &field.shape {
                Shape::Path(path) => literal(path),
                _ => literal(""),
            };
            format!("sigma_match({}, {}, 'ishares', {text}, {})", holder.sql(), path_of(holder), literal(path))
        }
    };
    Ok(format!("({there} AND {equal})"))
}
