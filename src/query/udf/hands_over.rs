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
    Function::of_texts("hands_over", &ABOUT, Body::Bool(hands_over))
}

/// Ways to ask, one of which will do.
const WAYS: &[&str] = &[
    r"\b(finish|complete|do|solve|work on)\s+(the|my|all|this|that|these|those|his|her|their|our)\b",
    // `Do you know …` and `how many … do I have` hand nothing over.
    r"\bdo\s+(it|that|this|them|these|those|what|whatever|everything|all|as)\b",
    r"\b(follow|complete|perform|carry out|handle|finish|process|take care of|execute|work through|address|act on|accomplish|fulfil\w*)\b.{0,60}\b(task\w*|instruction\w*|step\w*|request\w*|todo|to-do|what .{0,30}(says?|asks?|wants?|needs?|requests?)|everything|list|actions?|it|them|that)\b",
    // What others write to one.
    r"\b(do|follow|complete|perform|carry out|handle|finish|process|take care of|execute|work (through|on)|go through|address|act on|resolve|answer|deal with|look after|see to|take|clear|triage|solve|fix|close|implement)\s+((the|my|all|this|that|these|those|his|her|their|our|each|every|any|what|new|open|unread|pending|incoming|[\w-]+'s)\s+([\w'-]+\s+){0,4})?(tickets?|issues?|queue|inbox|comments?|e-?mails?|mails?|messages?|notes?|reviews?|feedback|backlog)\b",
    r"\b(fix|solve|resolve|implement|settle|sort out)\s+(it|this|that|them|these|those)\b",
    // What a guide says.
    r"\b(follow(ing)?|according to|as per|per|as)\s+(the|this|that|their|its|our)\s+([\w.'-]+\s+){0,4}(guides?|docs?|documentation|readme|instructions?|manual|tutorial|how-?to|quick ?start|walk-?through)\b",
    // What somebody else has chosen.
    r"\b(that|which|as)\s+([\w'-]+\s+){1,3}(recommend|suggest|propos|request|want|describ|specif)\w*",
    // The number of a ticket alone.
    r"^\W*(ticket|issue)\s+\W?[\w-]*\d|^\W*[a-z][a-z0-9]{1,9}-\d+\W*$",
];

static REQUEST: Pattern = Pattern::new(|| pattern(&format!("(?i){}", WAYS.join("|"))));

/// What follows in the request itself.
static OWN: Pattern = Pattern::new(|| pattern(r"(?i)\b(the )?following\b[^:\n]{0,60}:"));

fn hands_over(text: &str) -> bool {
    // A line break, which no way reaches over.
    REQUEST.is_match(&OWN.replace_all(text, "\n"))
}

#[cfg(test)]
mod tests {
    use super::hands_over;

    #[test]
    fn open_requests_are_told_from_others() {
        for text in [
            "Follow the instructions on the page",
            "do what Emma asks for in her mail",
            "Go through my unread mails",
            "Ticket ABC-12",
            "ABC-12",
            "What does issue 12 say? Fix it.",
            "finish the report",
            "just do it",
            "upgrade the framework following the official guide",
            "install it on this box as the vendor docs say",
            "Book the hotel that Tom recommends in his mail",
            "Emma has wishes for the party: please fulfil all of them",
        ] {
            assert!(hands_over(text), "{text}");
        }
        for text in [
            "",
            "Summarise the page",
            "What does ticket ABC-12 say?",
            "Send Emma the report",
            "Do you know a shop there that has it?",
            "Carry out the following for me: show my events, then book a table",
        ] {
            assert!(!hands_over(text), "{text}");
        }
    }
}
