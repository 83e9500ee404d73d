//! What becomes of a question, and of an answer: pure.

#[cfg(test)]
mod tests;

use std::{net::Ipv4Addr, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::CNAME},
};

use crate::network::policy::Policy;

/// The most records of an answer that are passed on.
pub const MOST_RECORDS: usize = 64;
/// The longest lifetime that a sandbox is told, in seconds: addresses are not open for longer.
const LONGEST: u32 = 3_600;

/// What becomes of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Ask upstream for these names, in turn, until one is there.
    Forward(Vec<Name>),
    /// There is such a name as far as anyone may know, but nothing of that kind.
    Empty,
    /// Refuse it.
    Refuse(ResponseCode),
}

/// Whether a message is a question that can be answered; else with what to refuse it.
/// Nothing is said to what is not a question at all.
///
/// # Errors
///
/// The code to refuse it with.
pub fn question(message: &Message) -> Result<&Query, Option<ResponseCode>> {
    if message.metadata.message_type != MessageType::Query {
        return Err(None);
    }
    if message.metadata.op_code != OpCode::Query {
        return Err(Some(ResponseCode::NotImp));
    }
    match message.queries.as_slice() {
        [query] if query.query_class() == DNSClass::IN => Ok(query),
        [_] => Err(Some(ResponseCode::Refused)),
        _ => Err(Some(ResponseCode::FormErr)),
    }
}

/// What becomes of a question that no container answers.
pub fn judge(policy: &Policy, query: &Query, search: &[Name]) -> Verdict {
    use RecordType::{A, AAAA, ANY, AXFR, HTTPS, IXFR, SVCB};
    match query.query_type() {
        // IPv6 is closed: whoever asks does without. This says nothing about the name.
        AAAA => return Verdict::Empty,
        ANY | AXFR | IXFR => return Verdict::Refuse(ResponseCode::NotImp),
        _ => {}
    }
    let allowed = |name: &Name| policy.at_name(&plain(name)).is_some();
    let names: Vec<Name> = candidates(query.name(), search).filter(allowed).collect();
    if names.is_empty() {
        return Verdict::Refuse(ResponseCode::Refused);
    }
    match (policy, query.query_type()) {
        // These carry addresses of their own, which would have to be opened too.
        (Policy::AllowList(_), HTTPS | SVCB) => Verdict::Empty,
        // A search domain is for the names of machines.
        (_, A) => Verdict::Forward(names),
        _ if names.contains(query.name()) => Verdict::Forward(vec![query.name().clone()]),
        _ => Verdict::Refuse(ResponseCode::Refused),
    }
}

/// The names that a question may mean: one without a dot is looked for below each of the
/// search domains first.
fn candidates<'a>(name: &'a Name, search: &'a [Name]) -> impl Iterator<Item = Name> + 'a {
    let search = if name.num_labels() == 1 { search } else { &[] };
    let below = search
        .iter()
        .filter_map(|domain| name.clone().append_domain(domain).ok());
    below.chain([name.clone()]).map(|mut name| {
        name.set_fqdn(true);
        name
    })
}

/// A name as policies write it.
pub fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase()
}

/// The addresses in an answer, and the lifetime of the one that lives longest.
pub fn addresses(records: &[Record]) -> (Vec<Ipv4Addr>, Duration) {
    let mut found = Vec::new();
    let mut lifetime = 0;
    for record in records.iter().take(MOST_RECORDS) {
        if let RData::A(address) = &record.data {
            found.push(address.0);
            lifetime = lifetime.max(record.ttl);
        }
    }
    found.sort_unstable();
    found.dedup();
    (found, Duration::from_secs(lifetime.into()))
}

/// The records to pass on: addresses only where they are among `reachable`, if that is
/// given; lifetimes no longer than what is opened stays open; and where the name that was
/// found is not the one that was asked for, where it was found.
pub fn admit(
    asked: &Name,
    found: &Name,
    records: &[Record],
    reachable: Option<&[Ipv4Addr]>,
) -> Vec<Record> {
    let keep = |record: &&Record| match (&record.data, reachable) {
        (RData::A(address), Some(reachable)) => reachable.contains(&address.0),
        (RData::AAAA(_), _) => false,
        _ => true,
    };
    let kept = records.iter().take(MOST_RECORDS).filter(keep).cloned();
    let mut kept: Vec<Record> = kept
        .map(|mut record| {
            record.ttl = record.ttl.min(LONGEST);
            record
        })
        .collect();
    if asked != found && !kept.is_empty() {
        let lifetime = kept.iter().map(|record| record.ttl).min().unwrap_or(0);
        let to = RData::CNAME(CNAME(found.clone()));
        kept.insert(0, Record::from_rdata(asked.clone(), lifetime, to));
    }
    kept
}
