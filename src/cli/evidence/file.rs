//! A piece of evidence as a file: JSON for people to read, of which a verifier believes nothing but the signed bytes.
//!
//! The file is canonical: everything in it follows from the verifier's own configuration and the bytes under `proof`. A
//! verifier makes the file anew from those and compares byte by byte, so that no byte of it can be changed unnoticed.

use bytes::Bytes;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::config::ClusterConfig;
use crate::consensus::{Court, Judgement, Keys, NodeId, Statement, Words, hex};

/// Begins every file. The number changes when the form does.
const FORMAT: &str = "consensusctl evidence 1";

/// The largest file that is read: its largest piece in hexadecimal digits and in words.
pub(super) const MAX_FILE_BYTES: u64 = 128 << 20;

/// A piece of evidence that was checked.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The signed bytes.
    pub piece: Bytes,
    /// What they prove.
    pub judgement: Judgement,
}

#[derive(Serialize)]
struct File<'a> {
    format: &'static str,
    protocol: &'static str,
    cluster_id: String,
    accused: u64,
    charge: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provided: Option<&'a str>,
    messages: Vec<Message<'a>>,
    proof: String,
}

struct Message<'a>(&'a Statement);

/// What is read of a file; all else is made anew and compared.
#[derive(Deserialize)]
struct Head {
    format: String,
    protocol: String,
    cluster_id: String,
    proof: String,
}

impl Proved {
    /// Checks a piece with the keys of a configuration.
    pub fn judge(config: &ClusterConfig, piece: Bytes) -> Result<Self, String> {
        let judgement = (config.entry().judge_evidence)(&court(config), &piece)?;
        Ok(Self { piece, judgement })
    }

    /// Reads and checks a file.
    pub fn read(config: &ClusterConfig, text: &[u8]) -> Result<Self, String> {
        let head: Head =
            serde_json::from_slice(text).map_err(|error| format!("it is no evidence file: {error}"))?;
        if head.format != FORMAT {
            return Err(format!("it is not of the format {FORMAT:?}"));
        }
        if head.protocol != config.protocol || head.cluster_id != cluster_id(config) {
            return Err(format!(
                "it is of {} and the cluster {}, and the configuration is of {} and the cluster {}",
                head.protocol,
                head.cluster_id,
                config.protocol,
                cluster_id(config)
            ));
        }
        let piece = unhex(&head.proof).ok_or("its proof is not written in hexadecimal digits")?;
        let proved = Self::judge(config, piece)?;
        if proved.to_file(config).as_bytes() != text {
            return Err("it does not say what its proof says: something in it was changed".to_owned());
        }
        Ok(proved)
    }

    /// The file.
    pub fn to_file(&self, config: &ClusterConfig) -> String {
        let Judgement { accused, charge, provided, statements, .. } = &self.judgement;
        let file = File {
            format: FORMAT,
            protocol: config.protocol,
            cluster_id: cluster_id(config),
            accused: accused.0,
            charge,
            provided: *provided,
            messages: statements.iter().map(Message).collect(),
            proof: hex(&self.piece),
        };
        // Strings, numbers and lists of them: nothing that could not be written.
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Names the piece: the first digits of its hash.
    pub fn id(&self) -> String {
        hex(&Sha256::digest(&self.piece))[..12].to_owned()
    }
}

/// What a verifier trusts of a configuration.
fn court(config: &ClusterConfig) -> Court {
    let keys = config.public_keys().into_iter().map(|(id, key)| (NodeId(id), key)).collect();
    Court {
        cluster_id: config.cluster_id,
        members: config.members.iter().map(|member| NodeId(member.id)).collect(),
        keys: Keys::public_only(keys),
    }
}

fn cluster_id(config: &ClusterConfig) -> String {
    format!("{:016x}", config.cluster_id)
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Statement { title, fields } = self.0;
        let mut map = serializer.serialize_map(Some(fields.len() + 1))?;
        map.serialize_entry("message", title)?;
        for (name, words) in fields {
            match words {
                Words::One(value) => map.serialize_entry(name, value)?,
                Words::List(values) => map.serialize_entry(name, values)?,
            }
        }
        map.end()
    }
}

fn unhex(text: &str) -> Option<Bytes> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}
