//! `says_denied(text)` and `begins_denied(text)`: whether an answer says that a call was refused for want of permission.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const SAYS: About = About {
    syntax: "says_denied(text)",
    text: "Whether an error says that the call is not allowed: permission denied, 401, 403, forbidden, blocked by a \
           policy, outside the allowed folders. Limits of rate and quota, expired logins, schema errors and a person's \
           refusal are something else.",
    example: "SELECT call_id FROM calls WHERE outcome = 'tool_error' AND says_denied(error_message)",
};
const BEGINS: About = About {
    syntax: "begins_denied(text)",
    text: "Whether a text begins with what says_denied finds: the short answer of a server that does not mark its \
           errors.",
    example: "SELECT call_id FROM calls WHERE result_bytes <= 600 AND begins_denied(result_text)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("says_denied", &SAYS, Body::Bool(says_denied))
}

pub(crate) fn begins() -> ScalarUDF {
    Function::of_texts("begins_denied", &BEGINS, Body::Bool(begins_denied))
}

const WORDS: &str = r"\b401\b|unauthori[sz]ed|\b(permission|access) (is |was )?denied|\bE(ACCES|PERM)\b|\b403\b|\bforbidden\b|not (authori[sz]ed|permitted)|insufficient[ _-]*(permission|privilege|scope|right|access)|AccessDenied|PermissionDenied|(blocked|denied|rejected|refused|prohibited|disabled) by [^.\n]*(polic|rule|guardrail|admin|gateway|firewall|hook|sandbox)|outside (of )?(the |your )?(allowed|permitted|sandbox)|not in the (allow|list of allowed)|not allowed (to|by|for|in|on|here)|(path|command|tool|user|agent|action|operation|host|domain|access)[:,]? (is )?not allowed|do(es)?( not|n.t) have (the )?(permission|access|right|privilege)|not accessible by|requires? (an? )?approval|approval (is )?required";
/// What an answer may have in front of them.
const LEAD: &str = r"[\s\[{(<*#:>-]*(([a-z]+ ?)?error\b[^\n]*|failed\b[^\n]*|(HTTP\S* )?(status( code)?:? )?|(sorry[,. ]+)?(you|this [a-z]+|the [a-z]+) )?";

static DENIED: Pattern = Pattern::new(|| pattern(&format!("(?i){WORDS}")));
static BEGINNING: Pattern = Pattern::new(|| pattern(&format!("(?i)^{LEAD}({WORDS})")));
/// Other reasons in similar words.
static OTHER: Pattern = Pattern::new(|| {
    pattern(
        r"(?i)rate.?limit|quota|too many requests|expired|invalid (api.?key|token|credential|password|grant|session)|method not allowed|(propert(y|ies)|fields?|values?|parameters?|keys?) ([^ ]+ )?(is |are )?not allowed|(user|human|person|operator) (has )?(rejected|denied|declined|refused|cancel)",
    )
});

fn says_denied(text: &str) -> bool {
    DENIED.is_match(text) && !OTHER.is_match(text)
}

fn begins_denied(text: &str) -> bool {
    BEGINNING.is_match(text) && !OTHER.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::{begins_denied, says_denied};

    #[test]
    fn denials_are_told_from_other_errors() {
        for text in [
            "Error: EACCES: permission denied, open '/etc/shadow'",
            "403 Forbidden",
            "Access denied - path outside allowed directories",
            "blocked by the gateway's policy",
            "You do not have permission to delete this repository",
        ] {
            assert!(says_denied(text) && begins_denied(text), "{text}");
        }
        for text in [
            "",
            "404 Not Found",
            "429: rate limit, access denied until 12:00",
            "403 token expired",
            "405 method not allowed",
            "additional properties are not allowed",
            "The user rejected the call",
        ] {
            assert!(!says_denied(text), "{text}");
        }
        assert!(!begins_denied("The report on page three says that access was denied to nobody"));
    }
}
