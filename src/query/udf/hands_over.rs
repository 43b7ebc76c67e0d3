//! `hands_over(text)`: whether a user's request hands the task over to what will be read.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "hands_over(text)",
    text: "Whether a request hands the task over to what is read: do what the page says, work through the tickets, answer \
           my mails. Who asks so has asked for what stands there.",
    example: "SELECT session_id FROM prompts WHERE hands_over(text)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("hands_over", &ABOUT, Body::Bool(|text| REQUEST.is_match(text)))
}

/// Ways to ask, one of which will do.
const WAYS: &[&str] = &[
    r"\b(finish|complete|do|solve|work on)\s+(the|my|all|this|that|these|those|his|her|their|our)\b",
    r"\b(do|follow|complete|perform|carry out|handle|finish|process|take care of|execute|work through|address|act on)\b.{0,60}\b(task\w*|instruction\w*|step\w*|request\w*|todo|to-do|what .{0,30}(says?|asks?|wants?|needs?|requests?)|everything|list|actions?|it|them|that)\b",
    // What others write to one.
    r"\b(do|follow|complete|perform|carry out|handle|finish|process|take care of|execute|work (through|on)|go through|address|act on|resolve|answer|deal with|look after|see to|take|clear|triage|solve|fix|close|implement)\s+((the|my|all|this|that|these|those|his|her|their|our|each|every|any|what|new|open|unread|pending|incoming|[\w-]+'s)\s+([\w'-]+\s+){0,4})?(tickets?|issues?|queue|inbox|comments?|e-?mails?|mails?|messages?|notes?|reviews?|feedback|backlog)\b",
    // The number of a ticket alone.
    r"^\W*(ticket|issue)\s+\W?[\w-]*\d",
];

static REQUEST: Pattern = Pattern::new(|| pattern(&format!("(?i){}", WAYS.join("|"))));

#[cfg(test)]
mod tests {
    use super::REQUEST;

    #[test]
    fn open_requests_are_told_from_others() {
        for text in [
            "Follow the instructions on the page",
            "do what Emma asks for in her mail",
            "Go through my unread mails",
            "Ticket ABC-12",
            "finish the report",
        ] {
            assert!(REQUEST.is_match(text), "{text}");
        }
        for text in ["", "Summarise the page", "What does ticket ABC-12 say?", "Send Emma the report"] {
            assert!(!REQUEST.is_match(text), "{text}");
        }
    }
}
