//! `is_work_item(operation)`: whether a call reads one item of a work tracker.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "is_work_item(operation)",
    text: "Whether an operation, server and tool with `/` between them, reads one item of a work tracker: where a session \
           without requests begins with it, it tells the agent what to do.",
    example: "SELECT call_id FROM calls WHERE is_work_item(concat_ws('/', server, tool))",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("is_work_item", &ABOUT, Body::Bool(is_work_item))
}

/// Trackers, whether their name stands in that of the server or in that of the tool.
static TRACKER: Pattern = Pattern::new(|| {
    pattern(
        r"(?i)jira|linear|asana|service_?now|youtrack|azure.?devops|clickup|shortcut|trello|monday|redmine|phabricator",
    )
});
/// Tools that read one item.
static READS: Pattern = Pattern::new(|| {
    pattern(r"(?i)(get|read|view|show|fetch)_?\w*(issue|task|ticket|incident|request|story|card|item)$")
});

fn is_work_item(operation: &str) -> bool {
    let tool = operation.rsplit_once('/').map_or(operation, |(_, tool)| tool);
    TRACKER.is_match(operation) && READS.is_match(tool)
}

#[cfg(test)]
mod tests {
    use super::is_work_item;

    #[test]
    fn one_item_is_told_from_lists_and_other_services() {
        for operation in ["jira/get_issue", "atlassian/getJiraIssue", "linear/get_issue", "asana/asana_get_task"] {
            assert!(is_work_item(operation), "{operation}");
        }
        for operation in ["", "jira/search_issues", "jira/create_issue", "github/get_issue", "mail/read_message"] {
            assert!(!is_work_item(operation), "{operation}");
        }
    }
}
