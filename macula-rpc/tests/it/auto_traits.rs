//! What may cross threads.

use macula_rpc::{Admission, Call, Invocations, Output, ProviderTable, Rpc, Slots};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}

#[test]
fn tables_and_admission_are_shared_and_machines_move() {
    is_send::<Rpc>();
    is_send::<Call>();
    is_send::<Output>();
    is_send::<Admission>();
    is_send::<ProviderTable>();
    is_sync::<ProviderTable>();
    is_send::<Invocations>();
    is_sync::<Invocations>();
    is_sync::<Slots>();
}
