//! The contract of `wit/` as Rust types, made by `bindgen!`.
//!
//! Nothing is written by hand here but the table of which host type stands behind which resource. The two worlds share
//! their imports, so the second takes the first one's types.

// The generated glue looks functions up once and then trusts their types.
#![allow(unsafe_code, missing_docs, unreachable_pub, unused_qualifications)]

/// The world `call-flow`, and the imports of both.
pub(in crate::plugin) mod call_flow {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "callbox:flow/call-flow",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "callbox:flow/sipcall.call": crate::call::Leg,
            "callbox:flow/sipcall.make-call-options": super::super::options::MakeCallChoices,
            "callbox:flow/sipcall.gather-options": super::super::options::GatherChoices,
            "callbox:flow/sipcall.reoffer-options": super::super::options::ReofferChoices,
            "callbox:flow/sipcall.transfer-options": super::super::options::TransferChoices,
            "callbox:flow/sipcall.bridge-options": super::super::options::BridgeChoices,
            "callbox:flow/registration.register-options": super::super::registration::RegisterChoices,
            "callbox:flow/registration.registration": crate::call::Registration,
            "callbox:flow/subscription.subscribe-options": super::super::subscription::SubscribeChoices,
            "callbox:flow/subscription.subscription": crate::call::Subscription,
            "callbox:flow/events.referral": crate::call::Referral,
            "callbox:flow/events.incoming-offer": crate::call::IncomingOffer,
        },
    });
}

/// The world `job-flow`: its export, and the imports of the other.
pub(in crate::plugin) mod job_flow {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "callbox:flow/job-flow",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "callbox:flow/types": super::call_flow::callbox::flow::types,
            "callbox:flow/sipcall": super::call_flow::callbox::flow::sipcall,
            "callbox:flow/registration": super::call_flow::callbox::flow::registration,
            "callbox:flow/subscription": super::call_flow::callbox::flow::subscription,
            "callbox:flow/events": super::call_flow::callbox::flow::events,
            "callbox:flow/session": super::call_flow::callbox::flow::session,
        },
    });
}

use wasmtime::component::InstancePre;

use crate::plugin::contract::World;
use crate::plugin::state::CallState;

/// A linked component, ready to be instantiated.
pub(in crate::plugin) enum Entry {
    /// World `call-flow`.
    Call(call_flow::CallFlowPre<CallState>),
    /// World `job-flow`.
    Job(job_flow::JobFlowPre<CallState>),
}

/// Looks up the export of the world.
pub(in crate::plugin) fn entry(world: World, linked: InstancePre<CallState>) -> wasmtime::Result<Entry> {
    Ok(match world {
        World::CallFlow => Entry::Call(call_flow::CallFlowPre::new(linked)?),
        World::JobFlow => Entry::Job(job_flow::JobFlowPre::new(linked)?),
    })
}
