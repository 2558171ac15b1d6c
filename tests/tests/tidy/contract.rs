//! The contract: what was released is still there, under its names, numbers and types.
//!
//! `proto/paintbox.v1.binpb` is the descriptor set of the contract that was last released. This comparison is made with
//! nothing but the descriptors, so that it runs wherever the tests do; `proto/check.sh` makes buf's as well, which knows
//! more rules. `PAINTBOX_WRITE_CONTRACT=1` renews the set from the .proto files, and refuses to where they took something
//! away. While nothing was released, `PAINTBOX_WRITE_CONTRACT=anew` begins afresh, whatever the set had.

use crate::root;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};
use std::collections::BTreeMap;
use std::path::PathBuf;

const RENEW: &str = "PAINTBOX_WRITE_CONTRACT";

fn released_path() -> PathBuf {
    root().join("proto/paintbox.v1.binpb")
}

/// The contract as the .proto files have it now, without comments and places in the text, which promise nothing.
fn current() -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(paintbox_proto::FILE_DESCRIPTOR_SET).unwrap();
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

/// Everything that a contract promises: a path that names it, and what a client has compiled in of it.
fn promises(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("paintbox.")) {
        let package = file.package();
        for message in &file.message_type {
            promises_of_message(package, file.name(), message, &mut found);
        }
        for each in &file.enum_type {
            promises_of_enum(package, file.name(), each, &mut found);
        }
        for service in &file.service {
            promises_of_service(package, file.name(), service, &mut found);
        }
    }
    found
}

fn promises_of_message(scope: &str, file: &str, message: &DescriptorProto, found: &mut BTreeMap<String, String>) {
    let name = format!("{scope}.{}", message.name());
    found.insert(format!("message {name}"), file.to_owned());
    for field in &message.field {
        found.insert(format!("field {name} {}", field.number()), field_promise(message, field));
    }
    for range in &message.reserved_range {
        found.insert(format!("reserved {name} {}..{}", range.start(), range.end()), String::new());
    }
    for reserved in &message.reserved_name {
        found.insert(format!("reserved {name} {reserved}"), String::new());
    }
    for each in &message.nested_type {
        promises_of_message(&name, file, each, found);
    }
    for each in &message.enum_type {
        promises_of_enum(&name, file, each, found);
    }
}

fn field_promise(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let oneof = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    format!(
        "{} {:?} {:?} {} optional={} oneof={} json={}",
        field.name(),
        field.r#type(),
        field.label(),
        field.type_name(),
        field.proto3_optional(),
        oneof.map_or("", |oneof| oneof.name()),
        field.json_name(),
    )
}

fn promises_of_enum(scope: &str, file: &str, each: &EnumDescriptorProto, found: &mut BTreeMap<String, String>) {
    let name = format!("{scope}.{}", each.name());
    found.insert(format!("enum {name}"), file.to_owned());
    for value in &each.value {
        found.insert(format!("value {name} {}", value.number()), value.name().to_owned());
    }
}

fn promises_of_service(
    scope: &str,
    file: &str,
    service: &ServiceDescriptorProto,
    found: &mut BTreeMap<String, String>,
) {
    let name = format!("{scope}.{}", service.name());
    found.insert(format!("service {name}"), file.to_owned());
    for method in &service.method {
        let streams = (method.client_streaming(), method.server_streaming());
        let promise = format!("{} → {} streams={streams:?}", method.input_type(), method.output_type());
        found.insert(format!("method {name} {}", method.name()), promise);
    }
}

/// What `now` took away or changed of what `released` promised, as sentences.
fn taken_away(released: &FileDescriptorSet, now: &FileDescriptorSet) -> Vec<String> {
    let now = promises(now);
    promises(released)
        .into_iter()
        .filter_map(|(what, was)| match now.get(&what) {
            None => Some(format!("{what} is gone (was: {was})")),
            Some(is) if *is != was => Some(format!("{what} was `{was}` and is `{is}`")),
            Some(_) => None,
        })
        .collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "whoever runs it says by the environment that the set is to be renewed")]
fn the_contract_keeps_everything_that_was_released() {
    let now = current();
    let renewal = std::env::var_os(RENEW);
    let renews = renewal.is_some();
    match std::fs::read(released_path()) {
        Ok(_) if renewal.is_some_and(|how| how == "anew") => {}
        Ok(bytes) => {
            let released = FileDescriptorSet::decode(bytes.as_slice()).unwrap();
            assert!(promises(&released).len() > 100, "{} holds next to nothing", released_path().display());
            let broken = taken_away(&released, &now);
            assert!(
                broken.is_empty(),
                "what clients rely on was taken away; add beside it instead:\n{}",
                broken.join("\n")
            );
        }
        Err(error) => assert!(
            renews && error.kind() == std::io::ErrorKind::NotFound,
            "{}: {error}; {RENEW}=1 cargo test -p paintbox-tests --test tidy contract makes it",
            released_path().display()
        ),
    }
    if renews {
        std::fs::write(released_path(), now.encode_to_vec()).unwrap();
    }
}

#[test]
fn every_sort_of_breach_is_noticed() {
    type Breach = fn(&mut FileDescriptorSet);
    fn download(set: &mut FileDescriptorSet) -> &mut DescriptorProto {
        let mut messages = set.file.iter_mut().flat_map(|file| &mut file.message_type);
        messages.find(|message| message.name() == "Download").unwrap()
    }
    fn service(set: &mut FileDescriptorSet) -> &mut ServiceDescriptorProto {
        let mut services = set.file.iter_mut().flat_map(|file| &mut file.service);
        services.find(|service| service.name() == "DownloadService").unwrap()
    }
    let breaches: &[(&str, Breach)] = &[
        ("a field is gone", |set| drop(download(set).field.remove(0))),
        ("a field has another name", |set| download(set).field[0].name = Some("title".into())),
        ("a field has another number", |set| download(set).field[0].number = Some(900)),
        ("a field has another type", |set| {
            download(set).field[0].set_type(prost_types::field_descriptor_proto::Type::Bytes);
        }),
        ("a field is repeated", |set| {
            download(set).field[0].set_label(prost_types::field_descriptor_proto::Label::Repeated);
        }),
        ("a message has another name", |set| download(set).name = Some("Transfer".into())),
        ("a method is gone", |set| drop(service(set).method.remove(0))),
        ("a method streams", |set| service(set).method[0].server_streaming = Some(true)),
        ("a service moved to another file", |set| {
            let file = set.file.iter_mut().find(|file| file.name().ends_with("/download.proto")).unwrap();
            file.name = Some("paintbox/v1/other.proto".into());
        }),
        ("a value of an enum has another name", |set| {
            let errors = set.file.iter_mut().find(|file| file.name().ends_with("/errors.proto")).unwrap();
            errors.enum_type[0].value[1].name = Some("ERROR_REASON_OTHER".into());
        }),
    ];
    let whole = current();
    for (what, breach) in breaches {
        let mut changed = whole.clone();
        breach(&mut changed);
        assert!(!taken_away(&whole, &changed).is_empty(), "{what}, and nobody noticed");
    }
    let mut grown = whole.clone();
    let more = FieldDescriptorProto { name: Some("more".into()), number: Some(900), ..Default::default() };
    download(&mut grown).field.push(more);
    assert_eq!(taken_away(&whole, &grown), [""; 0], "what is added breaks nothing");
}
