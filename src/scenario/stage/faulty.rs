//! Clients on the stage that break the rules.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Stage, everything};
use crate::check::{Call, Consistency};
use crate::client::{Client, Consistency as Wanted, Error, HEADS, Options, TAILS};
use crate::cluster::{self, Door, Error as ClusterError, gateway_door};
use crate::config::ClusterConfig;
use crate::consensus::{Scheme, SecretKey};
use crate::kv::{Op, PutRequest, RangeRequest, Response, TxnOp, TxnOpResponse, TxnRequest};
use crate::scenario::load::Caller;
use crate::scenario::{Failure, PATIENCE, Told};

/// An id that no configuration of a scenario knows.
const STRANGER: u64 = 4711;
/// What impostors write.
const FORGED: &str = "forged";
/// How often each of them tries.
const TRIES: u64 = 10;
/// How long it waits for an answer that is not to come.
const VAIN: Options = Options {
    timeout: Duration::from_millis(300),
    attempt_timeout: Duration::from_millis(300),
    sessions: false,
};

/// Clients that try to be believed to be somebody.
pub struct Impostors(JoinSet<Result<(), Failure>>);

impl Stage {
    /// A client with a key of its own that writes a key so many times, and asks half of the nodes each time for something
    /// else than the others, under the same name. In the history each time there are two calls, of which one was never
    /// executed: the one whose value was not found by the other. Says how often the key was written in the end.
    pub async fn toss(&mut self, key: &'static str, times: i64) -> Result<i64, Failure> {
        self.note(&format!("a client asks {times} times for two things under one name"));
        let failed = |why: String| Failure::new("a client that asks for two things gets one", why);
        let two_faced = self.two_faced_door().map_err(|error| failed(error.to_string()))?;
        let options = Options { timeout: PATIENCE, ..Options::default() };
        let client = two_faced.connect(options).await.map_err(|error| failed(error.to_string()))?;
        let id = self.next_caller + 1;
        self.next_caller += 2;
        for time in 0..times {
            self.toss_once(&client, id, (key, time)).await.map_err(|error| failed(error.to_string()))?;
        }
        self.next_caller += 1;
        let honest = Caller::of_all(self.next_caller, &self.door, &self.journal).await;
        let honest = honest.map_err(|error| failed(error.to_string()))?;
        let read = honest.get(range(key), Wanted::Linearizable).await;
        let found = read.map_err(|error| failed(error.to_string()))?;
        Ok(found.kvs.first().map_or(0, |kv| kv.version))
    }

    /// To the history it is two clients, each with a call of its own at the same time.
    async fn toss_once(&self, client: &Client, id: u64, (key, time): (&str, i64)) -> Result<(), Error> {
        let side = |id, word| {
            let op = Op::Txn(written(key, &format!("{word} {time}")));
            let call = Call { client: id, session: None, op, consistency: Consistency::Linearizable };
            let (tell, told) = oneshot::channel();
            let lost = || Error::Unknown { message: "the client has ended".to_owned() };
            let asked = async move { told.await.unwrap_or_else(|_| Err(lost())) };
            (tell, self.journal.call(call, None, asked))
        };
        let (heads, heads_done) = side(id, HEADS);
        let (tails, tails_done) = side(id + 1, TAILS);
        let asking = async {
            let answer = client.txn(written(key, &format!("{HEADS} {time}"))).await;
            let (heads_said, tails_said) = match answer {
                Ok(answer) => {
                    let of_tails =
                        value(&answer.responses).is_some_and(|value| value.starts_with(TAILS.as_bytes()));
                    let not = Err(Error::Refused {
                        message: "the other one was executed under this name".to_owned(),
                        endpoint: "the replicas".to_owned(),
                    });
                    let done = Ok(Response::Txn(answer));
                    if of_tails { (not, done) } else { (done, not) }
                }
                Err(error) => (Err(error.clone()), Err(error)),
            };
            // Both wait below.
            let (_, _) = (heads.send(heads_said), tails.send(tails_said));
        };
        // In this order: both calls begin before anything is asked.
        let (heads, tails, ()) = tokio::join!(heads_done, tails_done, asking);
        heads.or(tails).map(drop)
    }

    /// As another client than the load is.
    fn two_faced_door(&self) -> cluster::Result<Door> {
        let dir = self.cluster.dir();
        let (door, _claim) = gateway_door(&ClusterConfig::load(&dir.config())?, Some(dir))?;
        let kind = self.protocol.connect_two_faced;
        let kind =
            kind.ok_or_else(|| ClusterError::failed("the protocol's clients do not sign".to_owned()))?;
        Ok(door.with(kind))
    }

    /// Sets clients to work of which one signs in the name of those of the load with a key of its own, and the other is
    /// nobody whom the cluster knows.
    pub fn impostors(&self) -> Result<Impostors, Failure> {
        self.note("impostors ask for writes");
        let known = self.door.client();
        let known = known.ok_or_else(|| Failure::new("clients have names", "the protocol's do not sign"))?;
        let mut asking = JoinSet::new();
        for (id, seed) in [(known, 1), (STRANGER, 2)] {
            let door =
                self.door.clone().in_the_name_of(id, SecretKey::from_seed(Scheme::Ed25519, [seed; 32]));
            asking.spawn(async move { ask_in_vain(&door).await });
        }
        Ok(Impostors(asking))
    }

    /// Waits until the impostors have given up, and looks that nothing was done that they wanted.
    pub async fn were_ignored(&mut self, mut impostors: Impostors) -> Told {
        self.say("waiting until impostors give up");
        while let Some(asked) = impostors.0.join_next().await {
            asked.map_err(|error| Failure::new("impostors end", error.to_string()))??;
        }
        self.next_caller += 1;
        let failed = |error: Error| Failure::new("all keys can be read", error.to_string());
        let caller = Caller::of_all(self.next_caller, &self.door, &self.journal).await.map_err(failed)?;
        let found = caller.get(everything(), Wanted::Linearizable).await.map_err(failed)?;
        let forged = found.kvs.iter().filter(|kv| kv.key == FORGED).count();
        self.expect(forged == 0, "nothing is executed that nobody known has signed", "a key is there")
    }
}

async fn ask_in_vain(door: &Door) -> Result<(), Failure> {
    let wrong = |found: &str| Failure::new("who is not known, or does not sign, is not answered", found);
    let client = door.connect(VAIN).await.map_err(|error| wrong(&error.to_string()))?;
    for _ in 0..TRIES {
        let put = PutRequest { key: FORGED.into(), value: FORGED.into(), ..PutRequest::default() };
        if let Ok(answer) = client.put(put).await {
            return Err(wrong(&format!("a write was acknowledged as revision {}", answer.revision)));
        }
    }
    Ok(())
}

fn range(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() }
}

/// A write that answers what is there then.
fn written(key: &str, value: &str) -> TxnRequest {
    let put =
        PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() };
    let success = vec![TxnOp::Put(put), TxnOp::Range(range(key))];
    TxnRequest { compare: Vec::new(), success, failure: Vec::new() }
}

fn value(responses: &[TxnOpResponse]) -> Option<&bytes::Bytes> {
    let read = responses.iter().find_map(|response| match response {
        TxnOpResponse::Range(found) => found.kvs.first(),
        _ => None,
    });
    read.map(|kv| &kv.value)
}
