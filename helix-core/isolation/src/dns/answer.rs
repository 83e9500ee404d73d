//! Answers one question.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};

use super::{
    Firewall, LocalNames, Upstream,
    decision::{self, Verdict},
    upstream::Found,
};
use crate::{Error, network::policy::Policy};

/// For one question, upstream and firewall included.
const DEADLINE: Duration = Duration::from_secs(15);
/// For the sandbox's own names: it may be paused or hostile.
const LOCAL_DEADLINE: Duration = Duration::from_secs(1);
/// Containers come and go.
const LOCAL_LIFETIME: u32 = 5;
/// The largest answer over UDP, whatever the asker can take: what fits a packet everywhere.
const LARGEST_PACKET: u16 = 1_232;

/// Answers the questions of one sandbox.
#[derive(Debug)]
pub struct Answerer {
    pub(super) firewall: Arc<dyn Firewall>,
    pub(super) names: Arc<dyn LocalNames>,
    pub(super) upstream: Arc<Upstream>,
}

/// What is said: a code, and records with `NoError`.
type Reply = Result<Vec<Record>, ResponseCode>;

impl Answerer {
    /// With these.
    pub fn new(
        firewall: Arc<dyn Firewall>,
        names: Arc<dyn LocalNames>,
        upstream: Arc<Upstream>,
    ) -> Self {
        Self {
            firewall,
            names,
            upstream,
        }
    }

    /// The answer to a message, both as bytes; none to what is not a question. `packet` is
    /// for UDP, where a large answer is cut and marked so.
    pub async fn answer(&self, bytes: &[u8], packet: bool) -> Option<Vec<u8>> {
        let request = Message::from_vec(bytes).ok()?;
        let reply = match decision::question(&request) {
            Ok(query) => {
                let reply = tokio::time::timeout(DEADLINE, self.resolve(query)).await;
                reply.unwrap_or(Err(ResponseCode::ServFail))
            }
            Err(code) => Err(code?),
        };
        let response = respond(&request, reply);
        let bytes = response.to_vec().ok()?;
        let most = request.max_payload().clamp(512, LARGEST_PACKET);
        if packet && bytes.len() > usize::from(most) {
            return response.truncate().to_vec().ok();
        }
        Some(bytes)
    }

    async fn resolve(&self, query: &Query) -> Reply {
        if let Some(records) = self.local(query).await {
            return Ok(records);
        }
        let policy = self.firewall.policy();
        let search = self.upstream.search().await;
        let names = match decision::judge(&policy, query, &search) {
            Verdict::Forward(names) => names,
            Verdict::Empty => return Ok(Vec::new()),
            Verdict::Refuse(code) => return Err(code),
        };
        let (found, records) = self.ask(&names, query.query_type()).await?;
        let reply = self.admit(&policy, query.name(), &found, &records).await;
        reply.map_err(|error| {
            tracing::warn!(%error, "an answer could not be let through the firewall");
            ResponseCode::ServFail
        })?
    }

    /// The addresses of a container.
    async fn local(&self, query: &Query) -> Option<Vec<Record>> {
        if query.query_type() != RecordType::A {
            return None;
        }
        let name = decision::plain(query.name());
        let looked = tokio::time::timeout(LOCAL_DEADLINE, self.names.lookup(&name)).await;
        let addresses: Vec<Ipv4Addr> = looked
            .unwrap_or_default()
            .into_iter()
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .take(decision::MOST_RECORDS)
            .collect();
        let record = |address| {
            Record::from_rdata(query.name().clone(), LOCAL_LIFETIME, RData::A(A(address)))
        };
        (!addresses.is_empty()).then(|| addresses.into_iter().map(record).collect())
    }

    /// Asks upstream for each of the names until one is there.
    async fn ask(
        &self,
        names: &[Name],
        kind: RecordType,
    ) -> Result<(Name, Vec<Record>), ResponseCode> {
        let mut last = ResponseCode::NXDomain;
        let mut is_there = false;
        for name in names {
            match self.upstream.lookup(name, kind).await {
                Ok(Found::Records(records)) => return Ok((name.clone(), records)),
                Ok(Found::Nothing(ResponseCode::NoError)) => is_there = true,
                Ok(Found::Nothing(code)) => last = code,
                Err(error) => {
                    tracing::debug!(%error, "a sandbox's question was not answered");
                    return Err(ResponseCode::ServFail);
                }
            }
        }
        match names.last() {
            Some(name) if is_there => Ok((name.clone(), Vec::new())),
            _ => Err(last),
        }
    }

    /// Opens the firewall where it takes that, and says what the sandbox may see.
    async fn admit(
        &self,
        policy: &Policy,
        asked: &Name,
        found: &Name,
        records: &[Record],
    ) -> Result<Reply, Error> {
        let (addresses, lifetime) = decision::addresses(records);
        if *policy == Policy::Open || addresses.is_empty() {
            return Ok(Ok(decision::admit(asked, found, records, None)));
        }
        let reachable = self.firewall.reachable(&addresses).await?;
        let name = decision::plain(found);
        if reachable.len() < addresses.len() {
            tracing::warn!(
                name,
                "a name has addresses that no sandbox may reach; they were taken out"
            );
        }
        if !self.firewall.open(&name, &reachable, lifetime).await? {
            return Ok(Err(ResponseCode::Refused));
        }
        Ok(Ok(decision::admit(asked, found, records, Some(&reachable))))
    }
}

fn respond(request: &Message, reply: Reply) -> Message {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.queries.clone_from(&request.queries);
    match reply {
        Ok(records) => {
            response.add_answers(records);
        }
        Err(code) => response.metadata.response_code = code,
    }
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_PACKET);
        response.set_edns(edns);
    }
    response
}
