//! A Kafka topic: one record an alert, keyed by its entity, acknowledged by all replicas in sync.
//!
//! The producer is not idempotent, so a repeat after a lost answer is a second record with the same `alert-id`. Passwords travel by
//! SCRAM, which does not show them even where the connection is not encrypted.

use super::settings::{KafkaTarget, SaslMechanism};
use super::{Destination, Message, Outcome, Preview, Surroundings, Verdict, http, short, tls};
use crate::sink::Encoding;
use async_trait::async_trait;
use chrono::DateTime;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct KafkaSink {
    target: KafkaTarget,
    encoding: Encoding,
    timeout: Duration,
    login: Option<Credentials>,
    tls: Option<Arc<ClientConfig>>,
    open: Option<Open>,
}

struct Open {
    client: Client,
    partitions: Vec<i32>,
    writers: BTreeMap<i32, PartitionClient>,
}

impl KafkaSink {
    pub(super) fn open(
        target: &KafkaTarget,
        encoding: Encoding,
        timeout: Duration,
        around: &Surroundings<'_>,
    ) -> Result<Self, Vec<String>> {
        let login = match &target.login {
            None => None,
            Some((user, password)) => {
                let user = user.read(around.environment).map_err(|cause| vec![format!("user: {cause}")])?;
                let password = password.read(around.environment).map_err(|cause| vec![format!("password: {cause}")])?;
                Some(Credentials::new(user, password))
            }
        };
        let tls = match &target.tls {
            None => None,
            Some(tls) => Some(Arc::new(tls::client_config(tls).map_err(|cause| vec![cause])?)),
        };
        Ok(Self { target: target.clone(), encoding, timeout, login, tls, open: None })
    }

    async fn connect(&mut self) -> Result<&mut Open, String> {
        if self.open.is_none() {
            // The engine waits and tries again; a client that did so too would hide it.
            let backoff = BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
                deadline: Some(self.timeout / 2),
            };
            let mut builder =
                ClientBuilder::new(self.target.brokers.clone()).client_id("calltrail").backoff_config(backoff);
            if let Some(login) = &self.login {
                let login = login.clone();
                builder = builder.sasl_config(match self.target.mechanism {
                    SaslMechanism::Plain => SaslConfig::Plain(login),
                    SaslMechanism::ScramSha256 => SaslConfig::ScramSha256(login),
                    SaslMechanism::ScramSha512 => SaslConfig::ScramSha512(login),
                });
            }
            if let Some(config) = &self.tls {
                builder = builder.tls_config(Arc::clone(config));
            }
            let client = builder.build().await.map_err(|error| error.to_string())?;
            let topics = client.list_topics().await.map_err(|error| error.to_string())?;
            let topic = topics.into_iter().find(|topic| topic.name == self.target.topic);
            let partitions: Vec<i32> = topic.map(|topic| topic.partitions.into_iter().collect()).unwrap_or_default();
            if partitions.is_empty() {
                return Err(format!("there is no topic `{}`", self.target.topic));
            }
            self.open = Some(Open { client, partitions, writers: BTreeMap::new() });
        }
        self.open.as_mut().ok_or_else(|| "not connected".to_owned())
    }

    /// Sends the messages of each partition; what was written before an error stays written.
    async fn produce(&mut self, batch: &[Message], verdicts: &mut [Verdict]) -> Result<(), String> {
        let content_type = http::content_type(self.encoding);
        let topic = self.target.topic.clone();
        let open = self.connect().await?;
        let mut of_partition: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (at, message) in batch.iter().enumerate() {
            of_partition.entry(open.partition(&message.key)).or_default().push(at);
        }
        for (partition, places) in of_partition {
            let records: Vec<Record> = places.iter().flat_map(|at| records(&batch[*at], content_type)).collect();
            if !open.writers.contains_key(&partition) {
                let writer = open.client.partition_client(topic.clone(), partition, UnknownTopicHandling::Error).await;
                open.writers.insert(partition, writer.map_err(|error| error.to_string())?);
            }
            let Some(writer) = open.writers.get(&partition) else { continue };
            let verdict = match writer.produce(records, Compression::NoCompression).await {
                Ok(_) => Verdict::Delivered,
                Err(Error::ServerError { protocol_error, .. }) if is_about_records(protocol_error) => {
                    Verdict::Suspect(short(&format!("the broker refuses: {protocol_error:?}")))
                }
                Err(error) => return Err(error.to_string()),
            };
            places.iter().for_each(|at| verdicts[*at] = verdict.clone());
        }
        Ok(())
    }
}

/// Errors that the same records would meet again.
fn is_about_records(error: ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::MessageTooLarge
            | ProtocolError::RecordListTooLarge
            | ProtocolError::InvalidRecord
            | ProtocolError::CorruptMessage
    )
}

impl Open {
    /// The partition that Kafka's own clients would choose for the key.
    fn partition(&self, key: &str) -> i32 {
        let hash = (murmur2(key.as_bytes()) & 0x7fff_ffff) as usize;
        self.partitions[hash % self.partitions.len()]
    }
}

fn records(message: &Message, content_type: &str) -> Vec<Record> {
    let headers = [
        ("alert-id", message.id.as_str()),
        ("rule", &message.rule),
        ("level", message.level.as_str()),
        ("content-type", content_type),
    ];
    let headers: BTreeMap<String, Vec<u8>> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
    let record = |part: &String| Record {
        key: Some(message.key.clone().into_bytes()),
        value: Some(part.clone().into_bytes()),
        headers: headers.clone(),
        timestamp: DateTime::from_timestamp_micros(message.time).unwrap_or_default(),
    };
    message.parts.iter().map(record).collect()
}

/// MurmurHash2 with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[async_trait]
impl Destination for KafkaSink {
    async fn send(&mut self, batch: &[Message]) -> Outcome {
        let timeout = self.timeout;
        let mut outcome = Outcome::unreachable(batch.len(), "not sent");
        let produced = tokio::time::timeout(timeout, self.produce(batch, &mut outcome.verdicts)).await;
        let failure = match produced {
            Ok(Ok(())) => return outcome,
            Ok(Err(cause)) => short(&cause),
            Err(_) => "no answer in time".to_owned(),
        };
        self.open = None;
        for verdict in &mut outcome.verdicts {
            if let Verdict::Again { answer, .. } = verdict {
                answer.clone_from(&failure);
            }
        }
        outcome
    }

    fn preview(&self, batch: &[Message]) -> Preview {
        let to = format!("topic {} at {}", self.target.topic, self.target.brokers.join(", "));
        Preview { to, bytes: http::lines(batch) }
    }
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    /// Values that Kafka's own tests of its hash have.
    #[test]
    fn keys_go_where_other_clients_send_them() {
        for (key, hash) in [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
        {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
