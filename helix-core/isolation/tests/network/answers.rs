//! A resolver that says what the test wants, and a client that asks.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};

use crate::world::{RESOLVER, Sandbox};

/// A lifetime, and addresses.
type Addresses = (u32, Vec<Ipv4Addr>);

/// Plays the host's resolver, and remembers what it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scripted {
    names: Arc<Mutex<HashMap<String, Addresses>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Listens in the namespace of this thread.
    pub(crate) fn start() -> Self {
        let scripted = Self::default();
        let socket = UdpSocket::bind((RESOLVER, 53)).unwrap();
        let by = scripted.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                if let Ok(request) = Message::from_vec(&bytes[..length]) {
                    let _ = socket.send_to(&by.answer(&request).to_vec().unwrap(), from);
                }
            }
        });
        scripted
    }

    /// From now on a name has these addresses.
    pub(crate) fn set(&self, name: &str, lifetime: u32, addresses: &[Ipv4Addr]) {
        let entry = (lifetime, addresses.to_vec());
        self.names.lock().unwrap().insert(name.to_owned(), entry);
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn answer(&self, request: &Message) -> Message {
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata.recursion_available = true;
        response.queries.clone_from(&request.queries);
        let name = request.queries[0].name();
        let plain = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        self.asked.lock().unwrap().push(plain.clone());
        match self.names.lock().unwrap().get(&plain) {
            Some((lifetime, addresses)) => {
                let record = |address: &Ipv4Addr| {
                    Record::from_rdata(name.clone(), *lifetime, RData::A(A(*address)))
                };
                response.add_answers(addresses.iter().map(record));
            }
            None => response.metadata.response_code = ResponseCode::NXDomain,
        }
        response
    }
}

impl Sandbox {
    /// Asks its resolver for a name's addresses.
    pub(crate) async fn resolve(&self, name: &str) -> (ResponseCode, Vec<Ipv4Addr>) {
        let response = self.ask(name, RecordType::A).await;
        let address = |record: &Record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        };
        let mut addresses: Vec<_> = response.answers.iter().filter_map(address).collect();
        addresses.sort_unstable();
        (response.metadata.response_code, addresses)
    }

    /// Asks its resolver.
    pub(crate) async fn ask(&self, name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let gateway = self.slot.gateway;
        self.namespace
            .run(move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket
                    .set_read_timeout(Some(Duration::from_secs(10)))
                    .unwrap();
                socket
                    .send_to(&message.to_vec().unwrap(), (gateway, 53))
                    .unwrap();
                let mut bytes = [0; 4_096];
                let length = socket.recv(&mut bytes).unwrap();
                Message::from_vec(&bytes[..length]).unwrap()
            })
            .await
    }
}
