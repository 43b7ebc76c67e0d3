//! Values and names of rules as SQL text. Whatever a rule holds, it stays a value or a name.

/// A text as a literal. The dialect knows no escape but the doubled quote.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name that is a column of `calls`, or is quoted: these are no words of SQL and stand as they are.
pub(super) fn ident(name: &str) -> String {
    let is_column = crate::call::calls_schema().column_with_name(name).is_some() || name == "result_text";
    if is_column { name.to_owned() } else { quoted(name) }
}

/// Any name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `a AND b`, `a OR b`, in parentheses where there are several.
pub(super) fn joined(parts: &[String], operator: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        _ => format!("({})", parts.join(&format!(" {operator} "))),
    }
}

#[cfg(test)]
mod tests {
    use super::{literal, quoted};

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(literal("x' OR 1=1 --\\"), "'x'' OR 1=1 --\\'");
        assert_eq!(quoted("a\" FROM b"), "\"a\"\" FROM b\"");
    }
}
