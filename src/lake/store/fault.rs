//! What went wrong in an object store, in words that help and without what the store's answer gives away.
//!
//! A refused S3 request is answered with an XML document that may hold the access key and the text that was signed.

use object_store::Error;
use std::io::{self, ErrorKind};

/// Codes that say that the bucket or container itself is missing.
const NO_BUCKET: &[&str] = &["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"];
/// Codes that say that the credentials are not accepted; some stores send them with other states than 401 and 403.
const DENIED: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "InvalidToken",
    "ExpiredToken",
    "AuthenticationFailed",
];

/// Whether an object is missing, and not what would hold it.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !is_no_bucket(&error.to_string())
}

fn is_no_bucket(text: &str) -> bool {
    NO_BUCKET.iter().any(|code| text.contains(code))
}

/// An error of a store as one of input and output.
pub fn explain(error: &Error) -> io::Error {
    let text = error.to_string();
    let code = between(&text, "<Code>", "</Code>");
    // Azure's messages go on with ids and times.
    let message = between(&text, "<Message>", "</Message>").and_then(|message| message.lines().next());
    let said = match (code, message) {
        (Some(code), Some(message)) => format!(" ({code}: {message})"),
        (Some(one), None) | (None, Some(one)) => format!(" ({one})"),
        (None, None) => String::new(),
    };
    let denied = code.is_some_and(|code| DENIED.contains(&code));
    match error {
        _ if is_no_bucket(&text) => io::Error::new(
            ErrorKind::NotFound,
            "the bucket or container does not exist: make it first, or mend the URL",
        ),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => refused(&said),
        _ if denied => refused(&said),
        Error::NotFound { .. } => io::Error::new(ErrorKind::NotFound, format!("there is no such object{said}")),
        Error::Precondition { .. } => io::Error::other("it was changed meanwhile"),
        Error::AlreadyExists { .. } => io::Error::new(ErrorKind::AlreadyExists, format!("it exists already{said}")),
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            io::Error::new(ErrorKind::Unsupported, "the store cannot do this")
        }
        _ => other(error, &text, &said),
    }
}

fn refused(said: &str) -> io::Error {
    let text = format!(
        "access is denied{said}: set the credentials (environment variables AWS_…, GOOGLE_… or AZURE_…, or [storage] in calltrail.toml)"
    );
    io::Error::new(ErrorKind::PermissionDenied, text)
}

/// Errors without a class of their own: of the connection, of the settings, of the server.
fn other(error: &Error, text: &str, said: &str) -> io::Error {
    let deepest = deepest(error);
    if text.contains("169.254.169.254") || text.contains("metadata.google.internal") {
        return io::Error::new(
            ErrorKind::PermissionDenied,
            "there are no credentials: set them (environment variables AWS_…, GOOGLE_… or AZURE_…, or [storage] in calltrail.toml)",
        );
    }
    if deepest.contains("URL scheme is not allowed") {
        let text = "the endpoint has no TLS: allow that with AWS_ALLOW_HTTP=true (or GOOGLE_…, AZURE_…) if it is meant";
        return io::Error::new(ErrorKind::InvalidInput, text);
    }
    if text.contains("error sending request") || text.contains("HTTP error") || text.contains("error trying to connect")
    {
        let how = if text.contains("timed out") || deepest.contains("timed out") {
            "does not answer"
        } else {
            "cannot be reached"
        };
        return io::Error::new(ErrorKind::NotConnected, format!("the store {how}: {deepest}"));
    }
    if !said.is_empty() {
        return io::Error::other(format!("the store refuses{said}"));
    }
    io::Error::other(plain(text))
}

/// The innermost cause of an error.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    plain(&at.to_string())
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = text.split_once(start)?.1;
    Some(rest.split_once(end)?.0)
}

/// A message without the XML documents of a store's answers: of each only code and message stay.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = ["<?xml", "<Error>"].iter().filter_map(|mark| rest.find(mark)).min() {
        let (before, document) = rest.split_at(start);
        let end = document.find("</Error>").map_or(document.len(), |at| at + "</Error>".len());
        let (document, after) = document.split_at(end);
        out.push_str(before);
        let parts: Vec<&str> = [("<Code>", "</Code>"), ("<Message>", "</Message>")]
            .iter()
            .filter_map(|(start, end)| between(document, start, end))
            .collect();
        out.push_str(&parts.join(": "));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "<?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message>\
                          <AWSAccessKeyId>AKIAHUSHHUSH</AWSAccessKeyId><StringToSign>token:hush</StringToSign></Error>";

    #[test]
    fn answers_are_cut_down_to_code_and_message() {
        let found = plain(&format!("Delta table `calls`: 403: {ANSWER}, and {ANSWER}"));
        assert_eq!(
            found,
            "Delta table `calls`: 403: SignatureDoesNotMatch: The signature does not match., and \
             SignatureDoesNotMatch: The signature does not match."
        );
        assert_eq!(plain("cut <?xml <Error><Code>A</Code><Key>hush"), "cut A");
    }

    #[test]
    fn what_went_wrong_is_said() {
        let generic = |text: &str| Error::Generic { store: "S3", source: text.to_owned().into() };
        let absent = |text: &str| Error::NotFound { path: "a".to_owned(), source: text.to_owned().into() };
        for (error, kind, part) in [
            (generic(ANSWER), ErrorKind::PermissionDenied, "SignatureDoesNotMatch: The signature"),
            (absent("<Code>NoSuchBucket</Code>"), ErrorKind::NotFound, "the bucket or container does not exist"),
            (absent("<Code>NoSuchKey</Code>"), ErrorKind::NotFound, "no such object"),
            (generic("HTTP error: error sending request"), ErrorKind::NotConnected, "cannot be reached"),
        ] {
            let found = explain(&error);
            assert!(found.kind() == kind && found.to_string().contains(part), "{found:?}");
            assert!(!found.to_string().contains("hush") && !found.to_string().contains("AKIA"), "{found}");
        }
        assert!(is_absent(&absent("<Code>NoSuchKey</Code>")) && !is_absent(&absent("<Code>NoSuchBucket</Code>")));
    }
}
