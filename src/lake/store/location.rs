//! Where a lake or a log lies, and how the store that holds it is reached.

use super::fault;
use crate::lake::LakeError;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Tries of a request beyond the first. With the waits between them an endpoint that refuses is given up after some seconds.
const RETRIES: usize = 4;
/// Time after which a request is not tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a writer's lease lasts unless it is renewed.
const LEASE: Duration = Duration::from_secs(30);
/// Beginnings of the names of settings, as environment variables and in the configuration.
const PREFIXES: [&str; 3] = ["aws_", "google_", "azure_"];

/// Settings of object stores, by the names that the `object_store` crate gives them (`aws_region`). Values may be credentials:
/// nobody is shown them.
#[derive(Clone, PartialEq, Eq)]
pub struct StorageOptions {
    values: BTreeMap<String, String>,
    /// How long a writer's lease on a lake in an object store lasts unless it is renewed.
    pub lease: Duration,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self { values: BTreeMap::new(), lease: LEASE }
    }
}

impl std::fmt::Debug for StorageOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageOptions").field("set", &self.values.keys()).field("lease", &self.lease).finish()
    }
}

impl StorageOptions {
    /// Sets one value.
    ///
    /// # Errors
    /// No store has a setting of this name.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        let known = match name.split_once('_').map(|(store, _)| store) {
            Some("aws") => name.parse::<AmazonS3ConfigKey>().is_ok(),
            Some("google") => name.parse::<GoogleConfigKey>().is_ok(),
            Some("azure") => name.parse::<AzureConfigKey>().is_ok(),
            _ => false,
        };
        if !known {
            return Err(format!(
                "`{name}` is no setting of an object store; they begin with aws_, google_ or azure_, as aws_region does"
            ));
        }
        self.values.insert(name, value.into());
        Ok(())
    }

    /// Takes what environment variables (`AWS_REGION`) say; what was set before stays. Unknown ones are other programs'.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            let lower = name.to_ascii_lowercase();
            if PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) && !self.values.contains_key(&lower) {
                // An unknown name is not ours to judge.
                let _ = self.set(&lower, value);
            }
        }
    }

    fn of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter(move |(name, _)| name.starts_with(prefix)).map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

/// Where a lake lies: a path, a `file://` URL, or the URL of a place in an object store.
#[derive(Clone, Debug, Default)]
pub struct Location {
    text: String,
    options: Arc<StorageOptions>,
}

impl Location {
    /// A location as a user writes it, and how its store is reached.
    pub fn new(text: impl Into<String>, options: Arc<StorageOptions>) -> Self {
        Self { text: text.into(), options }
    }

    /// The settings of object stores.
    pub fn options(&self) -> &Arc<StorageOptions> {
        &self.options
    }

    /// What the text means.
    pub(super) fn place(&self) -> Result<Place, LakeError> {
        let scheme = || LakeError::Scheme(shown_text(&self.text));
        match self.text.split_once("://") {
            None if self.text.trim().is_empty() => Err(scheme()),
            None => Ok(Place::Folder(PathBuf::from(&self.text))),
            Some(("file", _)) => {
                let path = Url::parse(&self.text).ok().and_then(|url| url.to_file_path().ok());
                path.map(Place::Folder).ok_or_else(scheme)
            }
            Some(("s3" | "s3a" | "gs" | "az" | "azure" | "adl" | "abfs" | "abfss", _)) => {
                let mut url = Url::parse(&self.text).map_err(|_| scheme())?;
                if url.host_str().is_none_or(str::is_empty) || url.query().is_some() || url.fragment().is_some() {
                    return Err(scheme());
                }
                if !url.path().ends_with('/') {
                    url.set_path(&format!("{}/", url.path()));
                }
                Ok(Place::Bucket(url))
            }
            Some(_) => Err(scheme()),
        }
    }
}

impl From<&str> for Location {
    fn from(text: &str) -> Self {
        Self::new(text, Arc::default())
    }
}

/// What a location means.
pub(super) enum Place {
    Folder(PathBuf),
    /// With a slash at its end.
    Bucket(Url),
}

/// A URL without what must not be shown: a password, a signature in the query. (The user of an Azure URL is the container.)
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Refused only by URLs that can hold no password.
    let _ = url.set_password(None);
    if matches!(url.scheme(), "http" | "https") {
        let _ = url.set_username("");
    }
    url.set_query(None);
    url.set_fragment(None);
    url.to_string().trim_end_matches('/').to_owned()
}

fn shown_text(text: &str) -> String {
    Url::parse(text).map_or_else(|_| text.to_owned(), |url| shown(&url))
}

/// Opens the store that a URL's scheme and host name; what the URL names in it is left to the caller.
///
/// # Errors
/// No such kind of store, or its settings do not fit.
pub fn connect(url: &Url, options: &StorageOptions) -> io::Result<Arc<dyn ObjectStore>> {
    let refused = |error: object_store::Error| fault::explain(&error);
    // What lies above the path: the bucket, with the container's account where the URL has it.
    let root = &url[..url::Position::AfterPort];
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    Ok(match url.scheme() {
        "s3" | "s3a" => {
            let builder = options.of("aws_").fold(AmazonS3Builder::new().with_url(root), |builder, (name, value)| {
                name.parse().map_or(builder.clone(), |key| builder.with_config(key, value))
            });
            Arc::new(builder.with_retry(retry).build().map_err(refused)?)
        }
        "gs" => {
            let start = GoogleCloudStorageBuilder::new().with_url(root);
            let builder = options.of("google_").fold(start, |builder, (name, value)| {
                name.parse().map_or(builder.clone(), |key| builder.with_config(key, value))
            });
            Arc::new(builder.with_retry(retry).build().map_err(refused)?)
        }
        "az" | "azure" | "adl" | "abfs" | "abfss" => {
            let start = MicrosoftAzureBuilder::new().with_url(root);
            let builder = options.of("azure_").fold(start, |builder, (name, value)| {
                name.parse().map_or(builder.clone(), |key| builder.with_config(key, value))
            });
            Arc::new(builder.with_retry(retry).build().map_err(refused)?)
        }
        "http" | "https" => {
            let mut base = url.clone();
            base.set_path("");
            // A file may take as long as its reader; that an answer comes at all is watched by who asks.
            let client = ClientOptions::new().with_config(ClientConfigKey::AllowHttp, "true").with_timeout_disabled();
            let builder = HttpBuilder::new().with_url(base.as_str()).with_client_options(client);
            Arc::new(builder.with_retry(retry).build().map_err(refused)?)
        }
        other => return Err(io::Error::other(format!("there is no object store for the scheme `{other}`"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_known_by_name_and_never_shown() {
        let mut options = StorageOptions::default();
        options.set("aws_secret_access_key", "hush").unwrap();
        assert!(options.set("aws_regio", "x").unwrap_err().contains("`aws_regio`"));
        assert!(options.set("PATH", "x").is_err());
        let environment =
            [("AWS_SECRET_ACCESS_KEY", "other"), ("AWS_REGION", "r"), ("AWS_PAGER", "less"), ("HOME", "/")];
        options.add_environment(environment.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(options.of("aws_").collect::<Vec<_>>(), [("aws_region", "r"), ("aws_secret_access_key", "hush")]);
        assert!(!format!("{options:?}").contains("hush"));
    }

    #[test]
    fn locations() {
        let place = |text: &str| Location::from(text).place();
        for (text, url) in [
            ("s3://bucket", "s3://bucket/"),
            ("s3://bucket/a/lake", "s3://bucket/a/lake/"),
            ("abfss://box@account.dfs.core.windows.net/lake/", "abfss://box@account.dfs.core.windows.net/lake/"),
        ] {
            assert!(matches!(place(text), Ok(Place::Bucket(found)) if found.as_str() == url), "{text}");
        }
        assert!(matches!(place("file:///var/lake"), Ok(Place::Folder(path)) if path.as_os_str() == "/var/lake"));
        assert!(matches!(place("./lake"), Ok(Place::Folder(_))));
        for text in ["", " ", "ftp://host/lake", "https://host/lake", "s3://", "s3:///lake", "s3://bucket/lake?a=b"] {
            assert!(matches!(place(text), Err(LakeError::Scheme(_))), "{text}");
        }
        let hidden = shown(&Url::parse("https://user:word@host/a/b.jsonl?sig=secret#x").unwrap());
        assert_eq!(hidden, "https://host/a/b.jsonl");
    }
}
