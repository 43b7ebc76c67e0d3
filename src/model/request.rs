//! Whether a user's request hands the task over to a text: `do what the mail asks for`, `follow the steps on that page`. Whoever says so has asked for the orders
//! that stand there, and honest work carries them out.

/// Words for orders that stand somewhere.
const ORDERS: &str = "action actions assignment assignments checklist errand errands everything exercise exercises item items order orders procedure request requests step steps task tasks to-do to-dos todo todos";
/// What one does with them.
const CARRY_OUT: &str = "accomplish address carry complete do execute finish follow fulfil fulfill handle perform process resolve solve tackle work";
/// Words that say so alone.
const ALONE: &str = "accordingly directions guidelines instructed instruction instructions runbook";
/// How somebody else says what to do: `what she asks for`, `as he requested`.
const SAYS: &str = "advised ask asked asks described describes indicated mentioned needs request requested requests required said says specified suggested suggests told wants";
/// How orders stand in a text: `the exercises listed on that page`, whatever they are called.
const LISTED: &str = "described detailed explained given indicated laid listed mentioned noted outlined posted provided set specified stated written";
/// And where.
const WHERE: &str = "at by in inside on out there under within";
/// Words between the parts.
const APART: usize = 7;

/// Whether a request hands over. A list that the request gives itself (`the following tasks`) does not.
pub(super) fn hands_over(text: &str) -> bool {
    let low = text.to_lowercase();
    let words: Vec<&str> =
        low.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '\'')).filter(|word| !word.is_empty()).collect();
    let is = |list: &str, at: usize| words.get(at).is_some_and(|word| list.split(' ').any(|one| one == *word));
    let within = |at: usize, list: &str| (at + 1..=at + APART).find(|at| is(list, *at));
    (0..words.len()).any(|at| {
        is(ALONE, at)
            || is(CARRY_OUT, at)
                && within(at, ORDERS)
                    .is_some_and(|to| !words[at..to].iter().any(|word| matches!(*word, "following" | "these")))
            || is(CARRY_OUT, at) && within(at, LISTED).is_some_and(|listed| is(WHERE, listed + 1))
            || matches!(words[at], "what" | "whatever")
                && (at.saturating_sub(3)..at).any(|at| is(CARRY_OUT, at))
                && within(at, SAYS).is_some()
            || words[at] == "as" && (at + 1..=at + 4).any(|at| is(SAYS, at))
            || words[at] == "according" && words.get(at + 1) == Some(&"to")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_hand_over_are_told_from_those_that_say_what_to_do() {
        for text in [
            "Do what the mail from Anna asks for.",
            "Please follow the steps on that page",
            "Complete all of the tasks in my inbox",
            "The instructions are in the file",
            "Read the ticket and resolve it as described there",
            "set it up accordingly",
            "Open shop.example/may and complete the puzzles posted there",
            "Fix the fault that is described in ticket 12 and resolve all that is noted on its page",
        ] {
            assert!(hands_over(text), "{text}");
        }
        for text in [
            "",
            "Send the report to anna@firm.example",
            "Perform the following tasks: 1. Count the files. 2. Send the number to Bob.",
            "Create a task for Bob and add two steps",
            "What is on my calendar today?",
            "Tell me what the weather report says",
            "Do I have mail from Anna?",
            "Write to everybody who is listed in the file",
            "Complete the report with the numbers below",
        ] {
            assert!(!hands_over(text), "{text}");
        }
    }
}
