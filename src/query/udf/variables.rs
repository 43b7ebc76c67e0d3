//! Variables of a shell that a command sets and uses: `x=rm; $x -rf /`.

use super::{Pattern, pattern};
use std::collections::HashMap;

/// A variable that is set to a plain text, or one that is used.
static VARIABLE: Pattern = Pattern::new(|| {
    pattern(
        r#"(?:^|["'\s;|&({])([A-Za-z_][A-Za-z0-9_]*)=(?:(?:\\"|')([^"'\\$`]+)(?:\\"|')|([A-Za-z0-9_./:~@%+,*?-]+))|\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))"#,
    )
});

/// How many times as long a text may become by its variables.
const MOST: usize = 4;

/// The text with the values of variables that it sets before it uses them. `None` if there are none.
pub(super) fn set(text: &str) -> Option<String> {
    if !text.contains('$') || !text.contains('=') {
        return None;
    }
    let mut values: HashMap<&str, &str> = HashMap::new();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for found in VARIABLE.captures_iter(text) {
        let group = |at: usize| found.get(at).map(|part| part.as_str());
        if let Some(name) = group(1) {
            values.insert(name, group(2).or(group(3)).unwrap_or_default());
        } else if let (Some(value), Some(all)) = (group(4).or(group(5)).and_then(|name| values.get(name)), found.get(0))
            && out.len() < MOST * text.len()
        {
            out.push_str(&text[done..all.start()]);
            out.push_str(value);
            done = all.end();
        }
    }
    (done > 0).then(|| out + &text[done..])
}
