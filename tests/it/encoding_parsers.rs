//! Parsers of CEF, LEEF and RFC 5424, written from their specifications and knowing nothing of the encoders: they refuse what is not well formed.

/// A line of CEF or LEEF.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) header: Vec<String>,
    pub(crate) extension: Vec<(String, String)>,
}

/// Reads `CEF:0|…|…|…|…|…|…|key=value key=value`.
pub(crate) fn cef(line: &str) -> Result<Event, String> {
    if line.contains(['\n', '\r']) {
        return Err("a line break".to_owned());
    }
    let mut header = vec![String::new()];
    let mut chars = line.char_indices();
    let extension = loop {
        let fields = header.len();
        let Some((at, c)) = chars.next() else { return Err(format!("{fields} fields in the header")) };
        let field = header.last_mut().ok_or("no field")?;
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('\\' | '|'))) => field.push(c),
                other => return Err(format!("escape {other:?} in the header")),
            },
            '|' if fields == 7 => break &line[at + 1..],
            '|' => header.push(String::new()),
            c => field.push(c),
        }
    };
    // A key begins at the start or after a blank and ends at an equals sign that no backslash precedes.
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut value = String::new();
    let mut chars = extension.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(c @ ('\\' | '=')) => c,
                other => return Err(format!("escape {other:?} in a value")),
            }),
            '=' => {
                let (before, key) = value.rsplit_once(' ').unwrap_or(("", &value));
                if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
                    return Err(format!("`{key}` is no key"));
                }
                let (before, key) = (before.to_owned(), key.to_owned());
                match pairs.last_mut() {
                    Some((_, last)) => *last = before,
                    None if before.is_empty() => {}
                    None => return Err(format!("`{before}` before the first key")),
                }
                pairs.push((key, String::new()));
                value.clear();
            }
            c => value.push(c),
        }
    }
    pairs.last_mut().ok_or("no keys")?.1 = value;
    Ok(Event { header, extension: pairs })
}

/// Reads `LEEF:2.0|…|…|…|…|delimiter|key=value…`, which has no escapes.
pub(crate) fn leef(line: &str) -> Result<Event, String> {
    if line.contains(['\n', '\r']) {
        return Err("a line break".to_owned());
    }
    let fields: Vec<&str> = line.splitn(7, '|').collect();
    let [header @ .., delimiter, attributes] = fields.as_slice() else { return Err("no header".to_owned()) };
    let code = delimiter.trim_start_matches("0x").trim_start_matches('x');
    let delimiter = u32::from_str_radix(code, 16).ok().and_then(char::from_u32).ok_or("no delimiter")?;
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is no pair"))?;
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
        if is_key { Ok((key.to_owned(), value.to_owned())) } else { Err(format!("`{key}` is no key")) }
    };
    let extension = attributes.split(delimiter).map(pair).collect::<Result<_, String>>()?;
    Ok(Event { header: header.iter().map(|field| (*field).to_owned()).collect(), extension })
}

/// A frame of RFC 5424; its structured data as id, name and value.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) priority: u32,
    pub(crate) time: String,
    pub(crate) app: String,
    pub(crate) message_id: String,
    pub(crate) data: Vec<(String, String, String)>,
    pub(crate) message: String,
}

/// Reads `<PRI>1 TIME HOST APP PROCID MSGID [id name="value"] MSG`.
pub(crate) fn syslog(line: &str) -> Result<Frame, String> {
    if line.contains(['\n', '\r', '\0']) {
        return Err("a control character".to_owned());
    }
    let (priority, rest) = line.strip_prefix('<').and_then(|rest| rest.split_once(">1 ")).ok_or("no priority")?;
    let priority: u32 = priority.parse().map_err(|_| "no number".to_owned())?;
    let fields: Vec<&str> = rest.splitn(6, ' ').collect();
    let [time, host, app, process, message_id, rest] = fields.as_slice() else { return Err("no header".to_owned()) };
    for (field, max) in [(host, 255), (app, 48), (process, 128), (message_id, 32)] {
        if field.is_empty() || field.len() > max || !field.bytes().all(|b| (33..=126).contains(&b)) {
            return Err(format!("`{field}` in the header"));
        }
    }
    let mut data = Vec::new();
    let mut rest: &str = rest;
    if let Some(after) = rest.strip_prefix('-') {
        rest = after;
    } else {
        while let Some(element) = rest.strip_prefix('[') {
            rest = read_element(element, &mut data)?;
        }
        if data.is_empty() {
            return Err("no structured data".to_owned());
        }
    }
    let message = match rest.strip_prefix(' ') {
        Some(message) => message,
        None if rest.is_empty() => "",
        None => return Err(format!("`{rest}` after the structured data")),
    };
    Ok(Frame {
        priority,
        time: (*time).to_owned(),
        app: (*app).to_owned(),
        message_id: (*message_id).to_owned(),
        data,
        message: message.to_owned(),
    })
}

/// Reads an element after its bracket, and gives what follows it.
fn read_element<'a>(text: &'a str, data: &mut Vec<(String, String, String)>) -> Result<&'a str, String> {
    let name = |text: &str| {
        let is_name = (1..=32).contains(&text.len())
            && text.bytes().all(|b| (33..=126).contains(&b) && !matches!(b, b'=' | b']' | b'"'));
        if is_name { Ok(text.to_owned()) } else { Err(format!("`{text}` is no name")) }
    };
    let end = text.find([' ', ']']).ok_or("an element without end")?;
    let id = name(&text[..end])?;
    let mut rest = &text[end..];
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            return Ok(after);
        }
        let pair = rest.strip_prefix(' ').ok_or_else(|| format!("`{rest:.20}` in an element"))?;
        let (key, after) = pair.split_once("=\"").ok_or("a parameter without value")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        rest = loop {
            match chars.next().ok_or("a value without end")? {
                (at, '"') => break &after[at + 1..],
                (_, ']') => return Err("a bracket that is not escaped".to_owned()),
                (_, '\\') => match chars.next() {
                    Some((_, c @ ('"' | '\\' | ']'))) => value.push(c),
                    other => return Err(format!("escape {other:?} in a value")),
                },
                (_, c) => value.push(c),
            }
        };
        data.push((id.clone(), name(key)?, value));
    }
}
