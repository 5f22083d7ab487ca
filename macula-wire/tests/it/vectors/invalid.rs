//! Bytes that have to be refused, written by hand.
//!
//! A line has the number of the message (or `raw` for a whole frame), what is wrong, the error, and the body: hexadecimal
//! digits, `"text"` for a text behind its length, and the words below.

use super::Refusal;

/// Words that stand for bytes.
const WORDS: &[(&str, &str)] = &[
    (
        "NODE",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ),
    ("CALL", "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"),
    (
        "KEY",
        "31800bd514316f7b5f2885805d6009785c8776b6973af30d4721e2a907db3619",
    ),
    // Two ids of records, the lower one first.
    ("LOW", "11111111111111111111111111111101"),
    ("HIGH", "22222222222222222222222222222201"),
    // Owner, sequence, end, and not withdrawn: what a record begins with.
    (
        "RECORD",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f010200",
    ),
    // Target and origin.
    (
        "ENDS",
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\
         000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ),
    ("MARK", "0001020304050607"),
    // 2^32 as an integer.
    ("WIDE", "fd0000000001000000"),
    // 192.0.2.7:4433, without and with the byte that says IPv4.
    ("HOST", "c0000207fb5111"),
    ("ADDRESS", "00c0000207fb5111"),
    // ::ffff:192.0.2.7, port 4433.
    ("MAPPED", "0100000000000000000000ffffc0000207fb5111"),
    (
        "SIGNATURE",
        "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\
         5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
    ),
];

/// The hexadecimal digits of one word of a line.
fn digits(word: &str) -> String {
    if let Some(text) = word.strip_prefix('"') {
        let text = text.strip_suffix('"').unwrap();
        return format!("{:02x}{}", text.len(), crate::to_hex(text.as_bytes()));
    }
    let known = WORDS.iter().find(|(name, _)| *name == word);
    known.map_or(word, |(_, bytes)| bytes).to_owned()
}

fn refusals(table: &str) -> Vec<Refusal> {
    table
        .lines()
        .filter(|line| !line.is_empty())
        .map(refusal)
        .collect()
}

fn refusal(line: &str) -> Refusal {
    let parts: Vec<&str> = line.split(" | ").collect();
    let [number, name, error, body] = parts[..] else {
        panic!("{line:?} has not four parts");
    };
    let body: String = body.split_whitespace().map(digits).collect();
    let hex = match number.trim() {
        "raw" => body,
        number => format!("01{number}0000{:08x}{body}", body.len() / 2),
    };
    Refusal {
        name: name.trim().to_owned(),
        hex,
        error: error.trim().to_owned(),
    }
}

pub(super) fn session() -> Vec<Refusal> {
    refusals(SESSION)
}

pub(super) fn events() -> Vec<Refusal> {
    let mut all = refusals(EVENTS);
    // Request 300, matched 70,000, acked 1, nothing expired or dropped, no extension.
    let whole = "fb2c01fc7011010001000000";
    for length in 0..whole.len() / 2 {
        let body = &whole[..length * 2];
        all.push(refusal(&format!(
            "17 | receipt cut to {length} bytes | unexpected_end | {body}"
        )));
    }
    all
}

pub(super) fn trees() -> Vec<Refusal> {
    refusals(TREES)
}

pub(super) fn calls() -> Vec<Refusal> {
    refusals(CALLS)
}

pub(super) fn membership() -> Vec<Refusal> {
    refusals(MEMBERSHIP)
}

pub(super) fn overlay() -> Vec<Refusal> {
    refusals(OVERLAY)
}

pub(super) fn routing() -> Vec<Refusal> {
    refusals(ROUTING)
}

const SESSION: &str = r#"
raw | frame of version 2                        | version           | 02 04 0000 00000002 07 00
raw | frame of version 0                        | version           | 00 04 0000 00000002 07 00
raw | frame that is compressed                  | flags             | 01 04 0001 00000002 07 00
raw | frame that is a fragment                  | flags             | 01 04 0002 00000002 07 00
raw | frame with an unknown flag                | flags             | 01 04 8000 00000002 07 00
raw | frame one byte over the limit             | too_large         | 01 04 0000 00110001
raw | frame of four gibibytes                   | too_large         | 01 04 0000 ffffffff
raw | frame without its header's end            | unexpected_end    | 01 04 0000 000000
raw | frame without its body's end              | unexpected_end    | 01 04 0000 00000003 07 00
raw | frame and more in one datagram            | trailing_bytes    | 01 04 0000 00000002 07 00 00
00 | message 0x00                               | unknown_kind      | 00
0a | message 0x0a                               | unknown_kind      | 00
16 | message 0x16                               | unknown_kind      | 00
25 | message 0x25                               | unknown_kind      | 00
5f | message 0x5f                               | unknown_kind      | 00
e0 | message 0xe0                               | unknown_kind      | 00
04 | ping with a byte too many                  | trailing_bytes    | 07 00 00
04 | ping without extensions                    | unexpected_end    | 07
04 | integer 250 in three bytes                 | not_canonical     | fb fa00 00
04 | integer 65,535 in five bytes               | not_canonical     | fc ffff0000 00
04 | integer 2^32 - 1 in nine bytes             | not_canonical     | fd ffffffff00000000 00
04 | integer in seventeen bytes                 | not_canonical     | fe 01000000000000000000000000000000 00
04 | integer with marker 255                    | not_canonical     | ff 00
04 | integer without its end                    | unexpected_end    | fb 01
08 | integer over 32 bits                       | invalid           | WIDE 00
03 | extension that must be understood          | unknown_extension | 01 01 00
03 | extensions with one tag twice              | not_canonical     | 02 02 00 02 00
03 | extensions that descend                    | not_canonical     | 02 04 00 02 00
03 | extensions, 17 of them                     | too_large         | 11
03 | extension of 4,097 bytes                   | too_large         | 01 02 fb 0110
03 | extension with a tag of 33 bits            | invalid           | 01 WIDE 00
03 | extension without its value                | unexpected_end    | 01 02 04 61
01 | handshake without versions                 | invalid           | 00 00 "be.acme" NODE 01 03 00 fb 0010 00 00
01 | handshake with descending versions         | not_canonical     | 02 02 01 00 "be.acme" NODE 01 03 00 fb 0010 00 00
01 | handshake with a version twice             | not_canonical     | 02 01 01 00 "be.acme" NODE 01 03 00 fb 0010 00 00
01 | handshake with version 0                   | invalid           | 01 00 00 "be.acme" NODE 01 03 00 fb 0010 00 00
01 | handshake with nine versions               | too_large         | 09 010203040506070809
01 | handshake with role 2                      | invalid           | 01 01 02 "be.acme" NODE 01 03 00 fb 0010 00 00
01 | handshake, realm in upper case             | name              | 01 01 00 "be.Acme" NODE 01 03 00 fb 0010 00 00
01 | handshake, realm of one label              | name              | 01 01 00 "acme" NODE 01 03 00 fb 0010 00 00
01 | handshake, realm that is not utf-8         | utf8              | 01 01 00 04 62652eff NODE 01 03 00 fb 0010 00 00
01 | handshake that requires what it lacks      | invalid           | 01 01 00 "be.acme" NODE 01 01 02 fb 0010 00 00
01 | handshake, frames of 4,095 bytes           | invalid           | 01 01 00 "be.acme" NODE 01 03 00 fb ff0f 00 00
01 | handshake, agent with a line feed          | invalid           | 01 01 00 "be.acme" NODE 01 03 00 fb 0010 01 0a 00
01 | handshake, agent of 65 bytes               | too_large         | 01 01 00 "be.acme" NODE 01 03 00 fb 0010 41
02 | handshake_ack that chooses version 0       | invalid           | 00 NODE 01 03 fb 0010 00 00 00 00
02 | handshake_ack, token of 15 bytes           | invalid           | 01 NODE 01 03 fb 0010 00 01 0f 000102030405060708090a0b0c0d0e 00 00
02 | handshake_ack, mapped ipv4 address         | not_canonical     | 01 NODE 01 03 fb 0010 00 00 01 MAPPED 00
02 | handshake_ack, port 0                      | invalid           | 01 NODE 01 03 fb 0010 00 00 01 00 c0000207 00 00
02 | handshake_ack, address of kind 2           | invalid           | 01 NODE 01 03 fb 0010 00 00 01 02 HOST 00
02 | handshake_ack, port over 16 bits           | invalid           | 01 NODE 01 03 fb 0010 00 00 01 00 c0000207 fc 00000100 00
06 | stream of kind 6                           | invalid           | 00 06 00
06 | stream of priority 4                       | invalid           | 00 00 04 00
06 | stream with option tag 2                   | invalid           | 02 01 00
06 | stream with an empty token                 | invalid           | 01 00 01 00
07 | cert_update without certificates           | invalid           | 00 00
07 | cert_update with five certificates         | too_large         | 05 0161 0161 0161 0161 0161 00
07 | cert_update with an empty certificate      | invalid           | 01 00 00
07 | cert_update, certificate of 8,193 bytes    | too_large         | 01 fb 0120
f0 | error with code ok                         | invalid           | 00 00 01 00 00 00
f0 | error with a time and another hint         | invalid           | 00 40 02 01 05 00 00
f0 | error with hint 10                         | invalid           | 00 40 0a 00 00 00
f0 | error, detail of 513 bytes                 | too_large         | 00 40 02 00 fb 0102
f0 | error, detail that is not utf-8            | utf8              | 00 40 02 00 02 c328 00
f0 | error, detail with an escape               | invalid           | 00 40 02 00 02 1b5b 00
ff | close, detail with U+0085                  | invalid           | 51 02 c285 00
"#;

const EVENTS: &str = r#"
10 | topic with a wildcard                      | name              | 00 "a.*" 00 00 00 00 00 00 00 00 00
10 | topic with a tail                          | name              | 00 "a.**" 00 00 00 00 00 00 00 00 00
10 | topic with an empty segment                | name              | 00 "a..b" 00 00 00 00 00 00 00 00 00
10 | topic without anything                     | name              | 00 "" 00 00 00 00 00 00 00 00 00
10 | topic with a control character             | name              | 00 02 6107 00 00 00 00 00 00 00 00 00
10 | topic with its realm                       | name              | 00 "be.acme:a" 00 00 00 00 00 00 00 00 00
10 | topic with a late mark                     | name              | 00 "a.$b" 00 00 00 00 00 00 00 00 00
10 | topic of 17 segments                       | name              | 00 "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a" 00 00 00 00 00 00 00 00 00
10 | topic of 256 bytes                         | too_large         | 00 fb 0001
10 | topic that is not utf-8                    | utf8              | 00 02 61ff 00 00 00 00 00 00 00 00 00
11 | pattern with a tail before its end         | name              | 01 01 "a.**.b" 00
11 | pattern with a wildcard in a segment       | name              | 01 01 "a.b*" 00
10 | publish with qos 3                         | invalid           | 00 "a" 03 00 00 00 00 00 00 00 00
10 | publish, retain neither 0 nor 1            | invalid           | 00 "a" 00 02 00 00 00 00 00 00 00
10 | publish, ttl with option tag 2             | invalid           | 00 "a" 00 00 02 00 00 00 00 00 00
10 | publish with an empty key                  | invalid           | 00 "a" 00 00 00 01 00 00 00 00 00 00
10 | publish, key of 65 bytes                   | too_large         | 00 "a" 00 00 00 01 41
10 | publish with an empty dedup                | invalid           | 00 "a" 00 00 00 00 01 00 00 00 00 00
10 | publish of content 7                       | invalid           | 00 "a" 00 00 00 00 00 07 00 00 00
10 | publish of json by name                    | not_canonical     | 00 "a" 00 00 00 00 00 06 "application/json" 00 00 00
10 | publish of content without a name          | invalid           | 00 "a" 00 00 00 00 00 06 00 00 00 00
10 | publish of content with a space            | invalid           | 00 "a" 00 00 00 00 00 06 03 612062 00 00 00
10 | publish, content name of 128 bytes         | too_large         | 00 "a" 00 00 00 00 00 06 80
10 | publish, headers that descend              | not_canonical     | 00 "a" 00 00 00 00 00 00 02 0162 00 0161 00 00 00
10 | publish, one header twice                  | not_canonical     | 00 "a" 00 00 00 00 00 00 02 0161 00 0161 00 00 00
10 | publish, header without a key              | invalid           | 00 "a" 00 00 00 00 00 00 01 00 00 00 00
10 | publish, header key with a space           | invalid           | 00 "a" 00 00 00 00 00 00 01 0120 00 00 00
10 | publish with 33 headers                    | too_large         | 00 "a" 00 00 00 00 00 00 21
10 | publish, header of 1,025 bytes             | too_large         | 00 "a" 00 00 00 00 00 00 01 0161 fb 0104
10 | publish without its payload                | unexpected_end    | 00 "a" 00 00 00 00 00 00 00 00 fc ffffffff
15 | batch without events                       | invalid           | 08 NODE 01 03 00 00 01 00 00 00 00
15 | batch of 4,097 events                      | too_large         | 08 NODE 01 03 00 00 01 00 00 fb 0110
15 | batch with an event too few                | unexpected_end    | 08 NODE 01 03 00 00 01 00 00 03 0161 0162
15 | batch with an event too many               | trailing_bytes    | 08 NODE 01 03 00 00 01 00 00 01 0161 00 0162
15 | batch with an event cut off                | unexpected_end    | 08 NODE 01 03 00 00 01 00 00 01 05 6162
15 | batch, enveloped neither 0 nor 1           | invalid           | 08 NODE 01 03 00 00 01 02 00 01 0161 00
15 | enveloped batch without an envelope        | not_canonical     | 08 NODE 01 03 00 00 01 01 00 01 0161 00
15 | enveloped batch, empty audience            | not_canonical     | 08 NODE 01 03 00 00 01 01 00 01 08 00 00 00 01 00 00 00 00 00
15 | enveloped batch, empty key                 | not_canonical     | 08 NODE 01 03 00 00 01 01 00 01 06 00 01 00 00 00 00 00
13 | event, audience of nobody                  | invalid           | 08 NODE 01 "a" 00 00 01 01 00 00 00 01 00 01 00 00 00 00 00 00 00 00
13 | event, tenants that descend                | not_canonical     | 08 NODE 01 "a" 00 00 01 01 00 00 00 01 00 01 00 00 02 0162 0161 00 00 00 00 00
13 | event, tenant in capitals                  | invalid           | 08 NODE 01 "a" 00 00 01 01 00 00 00 01 00 01 00 00 01 0141 00 00 00 00 00
13 | event for 17 nodes                         | too_large         | 08 NODE 01 "a" 00 00 01 01 00 00 00 01 00 01 11
15 | batch beyond the last sequence             | invalid           | 08 NODE 01 03 fd ffffffffffffffff 00 01 00 00 01 0161 00
14 | alias with an empty certificate            | invalid           | NODE 01 03 "a" 00 01 00 00
14 | alias of a pattern                         | name              | NODE 01 03 "*" 00 00 00
17 | receipt of more than matched               | invalid           | 01 01 01 01 00 00
19 | deliver of nothing                         | invalid           | 01 00 01 00 01 00 00 00
19 | deliver, prev not before the first         | invalid           | 01 01 01 01 01 00 00 00
19 | deliver, floor beyond the first            | invalid           | 01 00 01 01 02 00 00 00
19 | deliver beyond the last id                 | invalid           | 01 00 fd ffffffffffffffff 02 01 00 00 00
19 | deliver to a group without a name          | invalid           | 01 00 01 01 01 01 00 00 00
19 | deliver to a group with a space            | invalid           | 01 00 01 01 01 01 03 612062 00 00
19 | deliver to a group of 65 bytes             | too_large         | 01 00 01 01 01 01 41
1a | event_ack of class 4                       | invalid           | 01 04 03 00 00 00
1a | event_ack, range that is reversed          | invalid           | 01 02 03 01 06 05 00 00
1a | event_ack, range that touches what is told | invalid           | 01 02 03 01 04 05 00 00
1a | event_ack, ranges that descend             | invalid           | 01 02 03 02 08 08 05 05 00 00
1a | event_ack of 33 ranges                     | too_large         | 01 02 03 21
1a | event_ack, refusals that overlap           | invalid           | 01 02 03 00 02 01 02 00 02 03 00 00
1a | event_ack, refusal of cause 3              | invalid           | 01 02 03 00 01 01 02 03 00
1b | resend of class 4                          | invalid           | 01 04 00 00
"#;

const TREES: &str = r#"
1c | ihave of nobody                            | invalid           | "a" 00 00
1c | ihave of 65 publishers                     | too_large         | "a" 41
1c | ihave, a publisher twice                   | not_canonical     | "a" 02 NODE 01 00 05 02 NODE 01 00 05 02 00
1c | ihave, first beyond next                   | invalid           | "a" 01 NODE 01 06 05 02 00
1c | ihave without a distance                   | unexpected_end    | "a" 01 NODE 01 00 05
1c | ihave of a pattern                         | name              | "**" 01 NODE 01 00 05 02 00
1d | graft that ends before it begins           | invalid           | "a" NODE 01 06 05 01 00
1d | graft, attach 2                            | invalid           | "a" NODE 01 05 06 02 00
1e | prune of a pattern                         | name              | "a.*" NODE 00
1e | prune and more                             | trailing_bytes    | "a" NODE 00 00
"#;

const CALLS: &str = r#"
20 | rpc_call of a pattern                      | name              | CALL 08 00 NODE 00 "a.*" 01 00 00 00 00 00 00 00 00 00
20 | rpc_call, deadline over 32 bits            | invalid           | CALL 08 00 NODE 00 "a" WIDE 00 00 00 00 00 00 00 00 00
20 | rpc_call, mode out of range                | invalid           | CALL 08 00 NODE 00 "a" 01 04 00 00 00 00 00 00 00 00
20 | rpc_call, route out of range               | invalid           | CALL 08 00 NODE 00 "a" 01 00 04 00 00 00 00 00 00 00
20 | rpc_call to a zone in capitals             | invalid           | CALL 08 00 NODE 00 "a" 01 00 02 0141 00 00 00 00 00 00 00
20 | rpc_call that hedges without a key         | invalid           | CALL 08 00 NODE 00 "a" 01 00 00 05 00 00 00 00 00 00
20 | rpc_call with an empty key                 | invalid           | CALL 08 00 NODE 00 "a" 01 00 00 00 00 0100 00 00 00 00
20 | rpc_call of a tenant without a name        | invalid           | CALL 08 00 NODE 0100 "a" 01 00 00 00 00 00 00 00 00 00
20 | rpc_call with an empty idempotency key     | invalid           | CALL 08 00 NODE 00 "a" 01 00 00 00 0100 00 00 00 00 00
20 | rpc_call, headers that descend             | not_canonical     | CALL 08 00 NODE 00 "a" 01 00 00 00 00 00 00 02 0162 00 0161 00 00 00
20 | rpc_call, payload cut off                  | unexpected_end    | CALL 08 00 NODE 00 "a" 01 00 00 00 00 00 00 00 05 61
22 | rpc_error with code ok                     | invalid           | CALL 00 01 00 00 00 00 00 00
22 | rpc_error with a name and another code     | invalid           | CALL 30 07 00 01 0161 00 00 00 00
22 | rpc_error with an empty name               | invalid           | CALL 60 09 00 01 00 00 00 00 00
22 | rpc_error with a time and another hint     | invalid           | CALL 39 02 01 05 00 00 00 00 00
22 | rpc_error, name with a line feed           | invalid           | CALL 60 09 00 01 010a 00 00 00 00
26 | rpc_cancel of mode 3                       | invalid           | CALL 03 00
26 | rpc_cancel, id cut off                     | unexpected_end    | c0c1c2
23 | register of a name with a colon            | name              | 01 01 "a:b" 00 01 06 00 00 00
23 | register, policy out of range              | invalid           | 01 01 "a" 00 01 09 00 00 00
28 | rpc_part, an end that says something       | invalid           | CALL 00 01 00 0161 00
29 | rpc_reply, a failure with a result         | invalid           | CALL NODE 01 39 02 00 00 00 00 00 00 0161 00
"#;

const MEMBERSHIP: &str = r#"
55 | member of status 2                         | invalid           | NODE 01 00 02 00 01 00 00 00 SIGNATURE 00
55 | member with nine addresses                 | too_large         | NODE 01 00 00 09
55 | member at a mapped ipv4 address            | not_canonical     | NODE 01 00 00 01 MAPPED 01 00 00 00 SIGNATURE 00
55 | member at port 0                           | invalid           | NODE 01 00 00 01 00 c0000207 00 01 00 00 00 SIGNATURE 00
55 | member at no address                       | invalid           | NODE 01 00 00 01 00 00000000 fb 5111 01 00 00 00 SIGNATURE 00
55 | member at a multicast address              | invalid           | NODE 01 00 00 01 00 e0000001 fb 5111 01 00 00 00 SIGNATURE 00
55 | member at one address twice                | not_canonical     | NODE 01 00 00 02 ADDRESS ADDRESS 01 00 00 00 SIGNATURE 00
55 | member at an address of kind 2             | invalid           | NODE 01 00 00 01 02 HOST 01 00 00 00 SIGNATURE 00
55 | member, roles over 32 bits                 | invalid           | NODE 01 00 00 00 WIDE 00 00 00 SIGNATURE 00
55 | member, zone in upper case                 | invalid           | NODE 01 00 00 00 01 01 "EU" 00 00 SIGNATURE 00
55 | member, zone without anything              | invalid           | NODE 01 00 00 00 01 01 00 00 00 SIGNATURE 00
55 | member, zone of 64 bytes                   | too_large         | NODE 01 00 00 00 01 01 40
55 | member, tags that descend                  | not_canonical     | NODE 01 00 00 00 01 00 00 02 0162 00 0161 00 SIGNATURE 00
55 | member, one tag twice                      | not_canonical     | NODE 01 00 00 00 01 00 00 02 0161 00 0161 00 SIGNATURE 00
55 | member, tag without a key                  | invalid           | NODE 01 00 00 00 01 00 00 01 00 00 SIGNATURE 00
55 | member, tag with a tabulator               | invalid           | NODE 01 00 00 00 01 00 00 01 0161 0109 SIGNATURE 00
55 | member with 17 tags                        | too_large         | NODE 01 00 00 00 01 00 00 11
55 | member, signature cut off                  | unexpected_end    | NODE 01 00 00 00 01 00 00 00 5a5a5a
54 | swim_gossip without news                   | invalid           | 00 00
54 | swim_gossip with 65 pieces of news         | too_large         | 41
54 | swim_gossip with news of kind 3            | invalid           | 01 03
56 | swim_state, neither more nor the end       | invalid           | 02 00 00
57 | swim_digest of kind 3                      | invalid           | 03 00
57 | swim_digest of two buckets                 | not_canonical     | 01 02 05 06 00
57 | swim_digest of 257 buckets                 | too_large         | 01 fb 0101
57 | swim_digest of a member of another bucket  | not_canonical     | 02 01 01 00 01 NODE 01 00 00 00
57 | swim_digest of one member twice            | not_canonical     | 02 00 01 00 02 NODE 01 00 00 NODE 01 00 00 00
57 | swim_digest of 129 members                 | too_large         | 02 00 01 00 81
57 | swim_digest, standing 4                    | invalid           | 02 00 01 00 01 NODE 01 00 04 00
57 | swim_digest, neither complete nor not      | invalid           | 02 00 02 00 00 00
53 | swim_nack without its target's end         | unexpected_end    | 01 0001
"#;

const OVERLAY: &str = r#"
58 | overlay_walk that needs nothing           | invalid           | 07 NODE 00 00 06 06 00 00
58 | overlay_walk that avoids one twice        | not_canonical     | 07 NODE 00 08 06 06 02 NODE NODE 00
58 | overlay_walk that avoids 33               | too_large         | 07 NODE 00 08 06 06 21
58 | overlay_walk, port 0                      | invalid           | 07 NODE 01 00 c0000207 00 08 06 06 00 00
58 | overlay_walk, an address twice            | not_canonical     | 07 NODE 02 ADDRESS ADDRESS 08 06 06 00 00
58 | overlay_walk, nine addresses              | too_large         | 07 NODE 09
58 | overlay_walk without its steps            | unexpected_end    | 07 NODE 00 08
59 | overlay_offer, nine addresses             | too_large         | 07 09
59 | overlay_offer, option tag 2               | invalid           | 07 00 02 NODE 00 00
59 | overlay_offer, round trip over 32 bits    | invalid           | 07 00 00 01 WIDE 00
5a | overlay_move, near 2                      | invalid           | 07 NODE 00 02 00
5a | overlay_move, mapped ipv4 address         | not_canonical     | 07 NODE 01 MAPPED 00 00
5b | overlay_answer of verdict 4               | invalid           | 07 04 00 00
5b | overlay_answer, a take that waits         | invalid           | 07 00 05 00
5c | overlay_edge that asks without an edge    | invalid           | 00 01 00 00
5c | overlay_edge, neighbours without an edge  | invalid           | 00 00 01 NODE 00 00
5c | overlay_edge with a neighbour twice       | not_canonical     | 01 00 02 NODE 00 NODE 00 00
5c | overlay_edge, 33 neighbours               | too_large         | 01 00 21
5d | overlay_flip that avoids one twice        | not_canonical     | 07 NODE 00 02 NODE NODE 00 00
5d | overlay_flip without its end              | unexpected_end    | 07 NODE 00
5e | overlay_peers, nine of them               | too_large         | 00 09
5e | overlay_peers, ask 2                      | invalid           | 02 00 00
"#;

const ROUTING: &str = r#"
6c | message 0x6c                               | unknown_kind      | 00
60 | kad_find, record kind 4                    | invalid           | 07 KEY 01 04 00
60 | kad_find, option tag 2                     | invalid           | 07 KEY 02 01 00
60 | kad_find, a key of 31 bytes                | unexpected_end    | 07 00010203040506070809 00010203040506070809 00010203040506070809 00
61 | kad_found, 21 contacts                     | too_large         | 07 15
61 | kad_found, a contact at port 0             | invalid           | 07 01 NODE 01 00 c0000207 00 00 00 00
61 | kad_found, a contact with nine addresses   | too_large         | 07 01 NODE 09
61 | kad_found, 65 records                      | too_large         | 07 00 41
61 | kad_found, neither more nor the end        | invalid           | 07 00 00 02 00
62 | kad_store without records                  | invalid           | 07 00 00
62 | kad_store, 65 records                      | too_large         | 07 41
62 | record of kind 4                           | invalid           | 07 01 RECORD 04 "a" 00 SIGNATURE 00
62 | record, neither withdrawn nor not          | invalid           | 07 01 NODE 01 02 02 01 "a" 00 00 06 00 01 00 SIGNATURE 00
62 | record, signature cut off                  | unexpected_end    | 07 01 RECORD 01 "a" 00 00 06 00 01 00 5a5a5a
62 | record of a node at port 0                 | invalid           | 07 01 RECORD 00 01 00 c0000207 00 00 00 SIGNATURE 00
62 | record of a node at one address twice      | not_canonical     | 07 01 RECORD 00 02 ADDRESS ADDRESS 00 00 SIGNATURE 00
62 | record of a node, tags that descend        | not_canonical     | 07 01 RECORD 00 00 02 0162 00 0161 00 00 SIGNATURE 00
62 | record of a node with 17 tags              | too_large         | 07 01 RECORD 00 00 11
62 | record of a node, one neighbour twice      | not_canonical     | 07 01 RECORD 00 00 00 02 NODE NODE SIGNATURE 00
62 | record of a node with 33 neighbours        | too_large         | 07 01 RECORD 00 00 00 21
62 | record of a provider of a piece of a name  | name              | 07 01 RECORD 01 "a.b*" 00 00 06 00 01 00 SIGNATURE 00
62 | record of a provider, policy out of range  | invalid           | 07 01 RECORD 01 "a" 00 00 09 00 01 00 SIGNATURE 00
62 | record of a provider, a zone in capitals   | invalid           | 07 01 RECORD 01 "a" 00 00 06 01 0141 01 00 SIGNATURE 00
62 | record of a provider, weight over 32 bits  | invalid           | 07 01 RECORD 01 "a" WIDE 00 06 00 01 00 SIGNATURE 00
62 | record of interest, tail before its end    | name              | 07 01 RECORD 02 "a.**.b" SIGNATURE 00
62 | record of a value under a pattern          | name              | 07 01 RECORD 03 "a.*" 02 00 SIGNATURE 00
62 | record of a value of 65,537 bytes          | too_large         | 07 01 RECORD 03 "a" 02 fc 01000100
62 | record of a value of json by name          | not_canonical     | 07 01 RECORD 03 "a" 06 "application/json" 00 SIGNATURE 00
62 | record of a withdrawn value with bytes     | invalid           | 07 01 NODE 01 02 01 03 "a" 02 02 7b7d SIGNATURE 00
63 | kad_answer, 65 codes                       | too_large         | 07 41
63 | kad_answer, a code too few                 | unexpected_end    | 07 02 00
64 | kad_watch, record kind 4                   | invalid           | 07 KEY 04 00 00 00
64 | kad_watch, lease over 32 bits              | invalid           | 07 KEY 01 WIDE 00 00
65 | kad_changes, record kind 4                 | invalid           | KEY 04 01 01 00 00 00
65 | kad_changes, neither full nor not          | invalid           | KEY 01 01 02 00 00 00
65 | kad_changes, neither more nor the end      | invalid           | KEY 01 01 01 02 00 00
65 | kad_changes, 65 records                    | too_large         | KEY 01 01 01 00 41
66 | kad_digest of nothing                      | invalid           | 07 00 00
66 | kad_digest that descends                   | not_canonical     | 07 02 HIGH 01 LOW 02 00
66 | kad_digest of one record twice             | not_canonical     | 07 02 LOW 01 LOW 02 00
66 | kad_digest of 1,025 records                | too_large         | 07 fb 0104
67 | kad_want that descends                     | not_canonical     | 07 02 HIGH LOW 00
67 | kad_want, one record twice                 | not_canonical     | 07 02 LOW LOW 00
67 | kad_want of 1,025 records                  | too_large         | 07 fb 0104
68 | forward of nothing                         | invalid           | ENDS 0f 00 01 MARK 00 00
68 | forward, packet of 1,453 bytes             | too_large         | ENDS 0f 00 01 MARK fb ad05
68 | forward by nine                            | too_large         | ENDS 0f 09
68 | forward with a trail of 17                 | too_large         | ENDS 0f 00 11
68 | forward, a mark cut off                    | unexpected_end    | ENDS 0f 00 01 00010203
69 | forward_error, 17 on the way back          | too_large         | ENDS 47 11
69 | forward_error without a code               | unexpected_end    | ENDS
6a | trace, a step too few                      | invalid           | 07 ENDS 0f 00 01 MARK 00 00
6a | trace, a step too many                     | invalid           | 07 ENDS 0f 00 01 MARK 02 NODE 00 NODE 00 00
6a | trace of 17 steps                          | too_large         | 07 ENDS 0f 00 01 MARK 11
6a | trace, round trip over 32 bits             | invalid           | 07 ENDS 0f 00 01 MARK 01 NODE WIDE 00
6b | traced without steps                       | invalid           | 07 NODE 00 00 00 00
6b | traced, 18 steps                           | too_large         | 07 NODE 00 12
6b | traced, 17 on the way back                 | too_large         | 07 NODE 00 01 NODE 00 11
"#;
