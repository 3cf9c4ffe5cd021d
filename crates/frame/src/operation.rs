//! Operations: what a service does for one call, in one of a few forms.
//!
//! | form | function | |
//! |---|---|---|
//! | `read` | `fn(&mut Reader, &Context, &Input) -> Result<Output, Refusal>` | one consistent state |
//! | `list` | `fn(&mut Reader, &Context, &Input, &Page) -> Result<Paged<Output>, Refusal>` | a page of it |
//! | `write` | `fn(&mut Transaction<'_>, &Context, &Input) -> Result<Output, Refusal>` | one transaction, once for each idempotency token |
//! | `call` | `async fn(&Context, Input) -> Result<Output, Refusal>` | whatever else |
//! | `view` | `fn(&Context, Input) -> Result<Output, Refusal>` | whatever else only reads |
//! | `unsigned` | `async fn(&Unsigned, Input) -> Result<Output, Refusal>` | for callers without keys |
//!
//! `Input` and `Output` are the types that the description's generator makes. The older form of
//! [`operations!`](crate::operations), without `wire`, takes any serde type that is keyed by the model's member names.

use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trellis_api::typed::{FromValue, IntoValue, Operation as Described};
use trellis_store::{Reader, Transaction};

use crate::context::{Context, Unsigned};
use crate::page::{Page, PageSizes, Paged};
use crate::refusal::Refusal;
use crate::token::Token;

/// A future on the heap, for tables of functions.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One implemented operation.
pub struct Operation {
    /// As the description names it.
    pub name: &'static str,
    pub perform: Perform,
}

/// How an operation is performed.
#[derive(Clone, Copy)]
pub enum Perform {
    Signed(fn(Call) -> BoxFuture<'static, Result<Value, Refusal>>),
    /// For callers without keys: the operation finds out by itself whom it serves.
    Unsigned(fn(Unsigned, Value) -> BoxFuture<'static, Result<Value, Refusal>>),
}

/// A call that may be performed: its caller is known and allowed to, its input keeps the description.
pub struct Call {
    pub context: Context,
    pub(crate) service: &'static trellis_api::Service,
    pub(crate) operation: &'static trellis_api::Operation,
    pub(crate) pages: PageSizes,
    pub(crate) input: Value,
}

/// Declares `OPERATIONS`, the operations that are implemented, in alphabetical order. `wire` is the module of the
/// generated types; a misspelt operation, or a function of other types than it describes, does not compile.
///
/// ```text
/// operations! { wire;
///     CreateShelf => write shelf::create,
///     ListShelves => list shelf::list,
/// }
/// ```
#[macro_export]
macro_rules! operations {
    ($wire:ident; $($name:ident => $form:ident $function:path,)*) => {
        pub(crate) const OPERATIONS: &[$crate::Operation] = &[
            $($crate::Operation {
                name: <$wire::$name as $crate::operation::Typed>::NAME,
                perform: $crate::perform!(typed $wire::$name; $form $function),
            },)*
        ];
    };
    ($($name:ident => $form:ident $function:path,)*) => {
        pub(crate) const OPERATIONS: &[$crate::Operation] = &[
            $($crate::Operation { name: stringify!($name), perform: $crate::perform!($form $function) },)*
        ];
    };
}

/// The form of one operation; for [`operations!`](crate::operations).
#[doc(hidden)]
#[macro_export]
macro_rules! perform {
    (typed $operation:ty; call $function:path) => {
        $crate::Perform::Signed(|call| {
            Box::pin(async move {
                let (context, input) = call.into_typed::<$operation>()?;
                $crate::operation::typed_answer::<$operation>($function(&context, input).await)
            })
        })
    };
    (typed $operation:ty; view $function:path) => {
        $crate::Perform::Signed(|call| {
            Box::pin(async move {
                let (context, input) = call.into_typed::<$operation>()?;
                $crate::operation::typed_answer::<$operation>($function(&context, input))
            })
        })
    };
    (typed $operation:ty; unsigned $function:path) => {
        $crate::Perform::Unsigned(|context, input| {
            Box::pin(async move {
                let input = $crate::operation::typed::<$operation>(input)?;
                $crate::operation::typed_answer::<$operation>($function(&context, input).await)
            })
        })
    };
    (typed $operation:ty; read $function:path) => {
        $crate::Perform::Signed(|call| Box::pin($crate::operation::read::<$operation>(call, $function)))
    };
    (typed $operation:ty; list $function:path) => {
        $crate::Perform::Signed(|call| Box::pin($crate::operation::list::<$operation>(call, $function)))
    };
    (typed $operation:ty; write $function:path) => {
        $crate::Perform::Signed(|call| Box::pin($crate::operation::write::<$operation>(call, $function)))
    };
    (call $function:path) => {
        $crate::Perform::Signed(|call| {
            Box::pin(async move {
                let (context, input) = call.into_parts()?;
                $crate::operation::answer($function(&context, input).await)
            })
        })
    };
    (view $function:path) => {
        $crate::Perform::Signed(|call| {
            Box::pin(async move {
                let (context, input) = call.into_parts()?;
                $crate::operation::answer($function(&context, input))
            })
        })
    };
    (read $function:path) => {
        $crate::Perform::Signed(|call| Box::pin($crate::operation::read_parsed(call, $function)))
    };
    (write $function:path) => {
        $crate::Perform::Signed(|call| Box::pin($crate::operation::write_parsed(call, $function)))
    };
}

// === typed by the description ===

/// For [`operations!`](crate::operations).
pub use trellis_api::typed::Operation as Typed;

/// What the function of `O` comes to.
type Answered<O> = Result<<O as Described>::Output, Refusal>;
/// The same for one page of a list.
type Listed<O> = Result<Paged<<O as Described>::Output>, Refusal>;

impl Call {
    /// The context, and the input in the type of `O`.
    ///
    /// # Errors
    /// [`Refusal::Exception`] where the description and its types disagree: ours.
    pub fn into_typed<O: Described>(self) -> Result<(Context, O::Input), Refusal> {
        Ok((self.context, typed::<O>(self.input)?))
    }
}

/// An input in the type of `O`.
///
/// # Errors
/// As [`Call::into_typed`].
pub fn typed<O: Described>(input: Value) -> Result<O::Input, Refusal> {
    O::Input::from_value(input).map_err(|mismatch| trellis_api::Exception::from(mismatch).into())
}

/// A typed answer as a value.
pub fn typed_answer<O: Described>(output: Result<O::Output, Refusal>) -> Result<Value, Refusal> {
    output.map(IntoValue::into_value)
}

/// Over one consistent state.
pub async fn read<O: Described>(
    call: Call,
    function: fn(&mut Reader, &Context, &O::Input) -> Answered<O>,
) -> Result<Value, Refusal> {
    let (context, input) = call.into_typed::<O>()?;
    Ok(function(&mut context.read()?, &context, &input)?.into_value())
}

/// A page, over one consistent state: the members that lead from page to page are the frame's.
pub async fn list<O: Described>(
    call: Call,
    function: fn(&mut Reader, &Context, &O::Input, &Page) -> Listed<O>,
) -> Result<Value, Refusal> {
    let operation = call.operation;
    let page = Page::asked(operation, call.pages, &call.input)?;
    let (context, input) = call.into_typed::<O>()?;
    let Paged { output, next_token } = function(&mut context.read()?, &context, &input, &page)?;
    Ok(Paged { output: output.into_value(), next_token }.finish(operation))
}

/// As one transaction; a second call with the same idempotency token gets the first one's answer.
pub async fn write<O: Described>(
    mut call: Call,
    function: fn(&mut Transaction<'_>, &Context, &O::Input) -> Answered<O>,
) -> Result<Value, Refusal>
where
    O::Input: Send + 'static,
    O::Output: 'static,
{
    let token = Token::take(&call.context, call.service, call.operation, &mut call.input);
    let (context, input) = call.into_typed::<O>()?;
    let inside = context.clone();
    context
        .transact(move |tx| {
            let run = |tx: &mut Transaction<'_>| function(tx, &inside, &input).map(IntoValue::into_value);
            Token::once(token.as_ref(), tx, |_, _| Ok(true), run)
        })
        .await
}

// === typed by serde ===

impl Call {
    /// The context, and the input in a serde type.
    ///
    /// # Errors
    /// [`Refusal::Unreadable`].
    pub fn into_parts<I: DeserializeOwned>(self) -> Result<(Context, I), Refusal> {
        Ok((self.context, parse(self.input)?))
    }
}

/// An input in a serde type.
///
/// # Errors
/// [`Refusal::Unreadable`].
pub fn parse<I: DeserializeOwned>(input: Value) -> Result<I, Refusal> {
    serde_json::from_value(input).map_err(|error| Refusal::Unreadable { message: error.to_string() })
}

/// An answer in a serde type as a value.
pub fn answer<O: Serialize>(output: Result<O, Refusal>) -> Result<Value, Refusal> {
    output.map(|output| serde_json::to_value(output).expect("answers are plain structs with string keys"))
}

/// As [`read`].
pub async fn read_parsed<I: DeserializeOwned, O: Serialize>(
    call: Call,
    function: fn(&mut Reader, &Context, &I) -> Result<O, Refusal>,
) -> Result<Value, Refusal> {
    let (context, input) = call.into_parts()?;
    answer(function(&mut context.read()?, &context, &input))
}

/// As [`write`].
pub async fn write_parsed<I, O>(
    mut call: Call,
    function: fn(&mut Transaction<'_>, &Context, &I) -> Result<O, Refusal>,
) -> Result<Value, Refusal>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
{
    let token = Token::take(&call.context, call.service, call.operation, &mut call.input);
    let (context, input) = call.into_parts::<I>()?;
    let inside = context.clone();
    context
        .transact(move |tx| {
            let run = |tx: &mut Transaction<'_>| answer(function(tx, &inside, &input));
            Token::once(token.as_ref(), tx, |_, _| Ok(true), run)
        })
        .await
}
