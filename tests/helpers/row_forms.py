"""Rows in every form that is read, and rows that may not be read, each with what becomes of it: data."""

import json

from helpers.conversations import assistant, system, user

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": null}'}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}]
TOOL_TALK = [
    {"role": "developer", "content": "d"},
    user("u1", name="Ada"),
    assistant(None, tool_calls=[CALL], reasoning_content="think"),
    {"role": "tool", "name": "add", "tool_call_id": "c1", "content": ""},
    assistant("a1", train=False),
    user("u2"),
    assistant("a2\u2028<|im_end|> ", weight=0.5),
]
ASK = [user("p"), assistant("r")]
GPT = [{"from": "human", "value": "p"}, {"from": "gpt", "value": "r"}]

# name -> (row, messages, form, further metadata)
ROWS = {
    "prompt and response": ({"prompt": "p", "response": "r"}, ASK, "prompt", {}),
    "prompt and completion": ({"prompt": "p", "completion": " r"}, [user("p"), assistant(" r")], "prompt", {}),
    "prompt with a system text": ({"system": "s", "prompt": "p", "response": "r"}, [system("s"), *ASK], "prompt", {}),
    "prompt beside an empty system text": ({"system": "", "prompt": "p", "response": "r"}, ASK, "prompt", {}),
    "a label that is a class": ({"prompt": "p", "response": "r", "label": "math"}, ASK, "prompt", {"label": "math"}),
    "TRL conversation": (
        {"prompt": [system("s"), user("p")], "completion": [assistant("r")]},
        [system("s"), *ASK],
        "prompt",
        {},
    ),
    "Alpaca": ({"instruction": "p", "input": "", "output": "r"}, ASK, "alpaca", {}),
    "Alpaca with input": (
        {"instruction": "do ", "input": " this", "output": "r"},
        [user("do \n\n this"), assistant("r")],
        "alpaca",
        {"instruction": "do ", "input": " this"},
    ),
    "Alpaca with input alone": ({"instruction": "", "input": "p", "output": "r"}, ASK, "alpaca", {}),
    "Alpaca with system and history": (
        {"instruction": "p", "output": "r", "system": "s", "history": [["p0", "r0"]]},
        [system("s"), user("p0"), assistant("r0"), *ASK],
        "alpaca",
        {},
    ),
    "Dolly": (
        {"instruction": "do", "context": "this", "response": "r", "category": "c"},
        [user("do\n\nthis"), assistant("r")],
        "alpaca",
        {"category": "c", "instruction": "do", "input": "this"},
    ),
    "ShareGPT": ({"conversations": GPT}, ASK, "sharegpt", {}),
    "ShareGPT with top-level system": ({"conversations": GPT, "system": "s"}, [system("s"), *ASK], "sharegpt", {}),
    "ShareGPT with its own system": ({"conversations": [{"from": "system", "value": "s"}, *GPT]}, [system("s"), *ASK], "sharegpt", {}),
    "ShareGPT with weights": (
        {"conversations": [GPT[0], {**GPT[1], "weight": 1}]},
        [user("p"), assistant("r", weight=1)],
        "sharegpt",
        {},
    ),
    "ShareGPT with role and content": ({"conversations": ASK}, ASK, "sharegpt", {}),
    "ShareGPT with tools": (
        {
            "conversations": [
                GPT[0],
                {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
                {"from": "observation", "value": '{"sum": 1}'},
                GPT[1],
            ],
            "tools": json.dumps(TOOLS),
        },
        [
            user("p"),
            assistant(None, tool_calls=[{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]),
            {"role": "tool", "content": '{"sum": 1}'},
            assistant("r"),
        ],
        "sharegpt",
        {},
    ),
    "ShareGPT with several calls": (
        {
            "conversations": [
                GPT[0],
                {"from": "function_call", "value": '[{"name": "f", "arguments": {}}, {"type": "function", "function": {"name": "g"}}]'},
            ]
        },
        [
            user("p"),
            assistant(
                None,
                tool_calls=[
                    {"type": "function", "function": {"name": "f", "arguments": {}}},
                    {"type": "function", "function": {"name": "g"}},
                ],
            ),
        ],
        "sharegpt",
        {},
    ),
    "messages": ({"messages": ASK}, ASK, "messages", {}),
    "messages with tools": ({"messages": TOOL_TALK, "tools": TOOLS}, TOOL_TALK, "messages", {}),
    "messages as a JSON string": ({"messages": json.dumps(TOOL_TALK), "tools": TOOLS}, TOOL_TALK, "messages", {}),
    "messages without content beside tool_calls": (
        {"messages": [user("p"), {"role": "assistant", "tool_calls": [CALL]}]},
        [user("p"), {"role": "assistant", "tool_calls": [CALL]}],
        "messages",
        {},
    ),
    "messages with parts": (
        {
            "messages": [
                user([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]),
                {**assistant([{"type": "text", "value": "r"}]), "loss_weight": 1.0},
            ]
        },
        [user("a b"), assistant("r", weight=1.0)],
        "messages",
        {},
    ),
    "messages with null keys": (
        {"messages": [user("p", tool_calls=None), assistant("r", tool_calls=[], name=None)]},
        ASK,
        "messages",
        {},
    ),
    "messages beside a prompt (UltraChat)": ({"prompt": "p", "messages": ASK}, ASK, "messages", {"prompt": "p"}),
    "question and answer": ({"question": "p", "answer": "r"}, ASK, "question", {}),
    "OpenOrca": ({"system_prompt": "s", "question": "p", "response": "r"}, [system("s"), *ASK], "openorca", {}),
    "OpenOrca without system": ({"system_prompt": "", "question": "p", "response": "r"}, ASK, "openorca", {}),
    "inputs and targets": ({"inputs": "p", "targets": "r"}, ASK, "inputs_targets", {}),
}
REQUESTED = {
    "preference": ("preference", {"prompt": "p", "chosen": "r", "rejected": "x"}, ASK),
    "preference with system": ("preference", {"system": "s", "question": "p", "chosen": "r", "rejected": "x"}, [system("s"), *ASK]),
    "preference of whole conversations": ("preference", {"chosen": ASK, "rejected": [user("p"), assistant("x")]}, ASK),
    "preference with prompt, of whole conversations": ("preference", {"prompt": "p", "chosen": ASK, "rejected": ASK}, ASK),
    "preference of turns": ("preference", {"prompt": [user("p")], "chosen": [assistant("r")], "rejected": [assistant("x")]}, ASK),
    "preference of Alpaca": ("preference", {"instruction": "p", "input": "", "chosen": "r", "rejected": "x"}, ASK),
    "preference of ShareGPT": ("preference", {"conversations": GPT[:1], "chosen": GPT[1], "rejected": {"from": "gpt", "value": "x"}}, ASK),
    "preference beside its messages": ("preference", {"prompt": "p", "messages": ASK, "chosen": ASK, "rejected": TOOL_TALK}, ASK),
    "label true": ("kto", {"prompt": "p", "completion": "r", "label": True}, ASK),
    "label as text": ("kto", {"prompt": "p", "completion": "r", "label": "True"}, ASK),
    "label of turns": ("kto", {"messages": ASK, "label": 1}, ASK),
    "label of Alpaca": ("kto", {"instruction": "p", "output": "r", "kto_tag": True}, ASK),
}
BAD = {
    "no form": ({"text": "p"}, "no form fits its fields; name them with format and columns (text)"),
    "no fields": ({}, "no form fits its fields; name them with format and columns (no field)"),
    "no object": (["p", "r"], "not an object of fields (list)"),
    "two forms": ({"prompt": "p", "response": "r", "messages": ASK}, "more than one form fits; name one with format (messages and prompt)"),
    "empty prompt beside an instruction": (
        {"prompt": "", "instruction": "p", "response": "r"},
        "more than one form fits; name one with format (prompt and alpaca)",
    ),
    "two answers": (
        {"instruction": "p", "output": "r", "response": "other"},
        "two names of one field are filled; leave one, or name it with columns (output and response)",
    ),
    "input no text": ({"instruction": "p", "input": {"x": 1}, "output": "r"}, "input is not text (dict)"),
    "instruction no text": ({"instruction": 3, "output": "r"}, "instruction is not text (int)"),
    "answer no text": ({"question": "p", "answer": {"text": ["r"]}}, "answer is not text (dict)"),
    "response empty": ({"prompt": "p", "response": " \n"}, "the response is empty"),
    "prompt empty": ({"prompt": "", "response": "r"}, "the prompt is empty"),
    "history no pairs": ({"instruction": "p", "output": "r", "history": [["p0"]]}, "history is no list of pairs of prompt and response"),
    "history no list": ({"instruction": "p", "output": "r", "history": 3}, "history is no list of pairs of prompt and response"),
    "messages no list": ({"messages": 3}, "messages is no list of turns"),
    "messages no turn": ({"messages": [user("p"), "r"]}, "a turn of messages is not an object (str)"),
    "messages broken JSON": ({"messages": "[{"}, "messages is a text but not JSON"),
    "unknown role": ({"messages": [{"role": "bot", "content": "p"}]}, "unknown role in messages; write one of system"),
    "role no text": ({"messages": [{"role": ["user"], "content": "p"}]}, "unknown role in messages"),
    "ends with user": (
        {"messages": [*ASK, user("p")]},
        "does not begin with a user's turn and end with an assistant's (user, assistant, user)",
    ),
    "begins with assistant": ({"conversations": GPT[::-1] + GPT[1:]}, "does not begin with a user's turn"),
    "no answer": ({"messages": [user("p")]}, "does not begin with a user's turn and end with an assistant's (user)"),
    "null content": ({"messages": [user("p"), assistant(None)]}, "a turn has neither text nor tool_calls (assistant)"),
    "null user": ({"messages": [user(None), assistant("r")]}, "a turn has neither text nor tool_calls (user)"),
    "empty assistant turn on the way": ({"messages": [user("p"), assistant(""), *ASK]}, "the response is empty"),
    "content no text": ({"messages": [user({"x": 1}), assistant("r")]}, "a turn's content is neither text nor a list of text parts (dict)"),
    "image part": (
        {"messages": [user([{"type": "image_url", "image_url": {"url": "x"}}]), assistant("r")]},
        "has a part that is not text (image_url)",
    ),
    "audio part": (
        {"messages": [user([{"type": "input_audio", "input_audio": {}}]), assistant("r")]},
        "has a part that is not text (input_audio)",
    ),
    "images": ({"instruction": "p", "output": "r", "images": ["a.png"]}, "images: only text can be learned from"),
    "calls by the user": (
        {"messages": [user("p", tool_calls=[CALL]), assistant("r")]},
        "tool_calls on a turn that is not an assistant's (user)",
    ),
    "calls without a name": ({"messages": [user("p"), assistant(None, tool_calls=[{"function": {}}])]}, "tool_calls is no list of calls"),
    "function_call no JSON": (
        {"conversations": [GPT[0], {"from": "function_call", "value": "add(1)"}]},
        "function_call is a text but not JSON",
    ),
    "tools no list": ({"conversations": GPT, "tools": "add"}, "tools is a text but not JSON"),
    "tools no objects": ({"conversations": GPT, "tools": ["add"]}, "tools is no list of objects"),
    "two systems": ({"messages": [system("a"), *ASK], "system": "b"}, "system beside another system turn"),
    "train no bool": ({"messages": [user("p"), assistant("r", train="no")]}, "train is neither true nor false ('no')"),
    "weight negative": ({"messages": [user("p"), assistant("r", weight=-1)]}, "weight is not a number of 0 or more (-1)"),
    "weight no number": ({"messages": [user("p"), assistant("r", weight="1")]}, "weight is not a number of 0 or more ('1')"),
    "weight endless": ({"messages": [user("p"), assistant("r", weight=10**400)]}, "weight is not a number of 0 or more"),
    "nothing trained on": ({"messages": [user("p"), assistant("r", weight=0)]}, "no assistant turn is trained on (train, weight)"),
    "preference unasked": ({"prompt": "p", "chosen": "r", "rejected": "x"}, "write format: preference to take the others only"),
    "preference beside messages": ({"messages": ASK, "chosen": ASK, "rejected": ASK}, "write format: preference to take the others only"),
    "label unasked": ({"prompt": "p", "completion": "r", "label": True}, "write format: kto to take the others only"),
    "label false unasked": ({"prompt": "p", "completion": "r", "label": False}, "write format: kto to take the others only"),
    "surrogate": ({"prompt": "p\ud800", "response": "r"}, "a text holds half of a surrogate pair"),
    "surrogate in metadata": ({"prompt": "p", "response": "r", "note": "\udfff"}, "a text holds half of a surrogate pair"),
    "NaN": ({"prompt": "p", "response": "r", "score": float("nan")}, "a number is not finite"),
    "NaN in a call": (
        {"messages": [user("p"), assistant(None, tool_calls=[{"function": {"name": "f", "arguments": {"a": float("inf")}}}])]},
        "a number is not finite",
    ),
    "id a list": ({"prompt": "p", "response": "r", "id": [1]}, "id or source is not text (list, str)"),
    "source a number": ({"prompt": "p", "response": "r", "source": 3}, "id or source is not text (NoneType, int)"),
}
BAD_REQUESTED = {
    "chosen without its prompt": ("preference", {"chosen": "\n\nHuman: p\n\nAssistant: r", "rejected": "x"}, "no form fits its fields"),
    "chosen beside a response": (
        "preference",
        {"prompt": "p", "response": "q", "chosen": "r", "rejected": "x"},
        "chosen beside other response",
    ),
    "chosen beside other messages": ("preference", {"messages": TOOL_TALK, "chosen": ASK, "rejected": ASK}, "chosen beside other messages"),
    "no rejected": ("preference", {"prompt": "p", "chosen": "r"}, "no rejected, which the form preference needs (prompt, chosen)"),
    "no label": ("kto", {"prompt": "p", "completion": "r"}, "no label or kto_tag, which the form kto needs (prompt, completion)"),
    "label a class": ("kto", {"prompt": "p", "completion": "r", "label": "math"}, "label is neither true nor false"),
    "label false under another name": (
        "prompt",
        {"prompt": "p", "completion": "x", "label": False},
        "write format: kto to leave such rows out",
    ),
    "named form's field missing": (
        "alpaca",
        {"prompt": "p", "response": "r"},
        "no instruction, which the form alpaca needs (prompt, response)",
    ),
}
