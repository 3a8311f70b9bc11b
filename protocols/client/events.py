"""The comments of event.proto, for programs and for people.

    events.py DESCRIPTORS TABLE.c PAGE.md

DESCRIPTORS is what protoc writes with --include_source_info. TABLE.c is the
table of events_texts.h, PAGE.md a page. A kind or a field without a comment is
an error.
"""
import json
import re
import sys

from google.protobuf import descriptor_pb2

EVENTS = 'rill/v1/event.proto'
MESSAGE, ENUM, FIELD, VALUE = 4, 5, 2, 2    # Numbers in descriptor.proto.
UNSPECIFIED = re.compile(r'_?UNSPECIFIED$')
HEAD = """# Events

What happens at the nodes of a cluster, as `rill tap` prints it and `-q` asks for
it. This page is made of the comments of `rill/v1/event.proto`. Every event has
the first table's fields, and those of its kind.
"""


class Comments:
    """What stands at the declarations of one file."""

    def __init__(self, file):
        self.file, self.bare = file, []
        self.by_path = {tuple(at.path): at for at in
                        file.source_code_info.location}

    def of(self, name, *path):
        """Everything that is said at a place, in one line."""
        at = self.by_path[path]
        text = ' '.join((at.leading_comments + ' ' +
                         at.trailing_comments).split())
        if not text:
            self.bare.append(f'{self.file.name}:{at.span[0] + 1}: {name} has '
                             'no comment')
        return text


def word(enum, value):
    """As `rill tap` writes it."""
    name = value.name.removeprefix(
        re.sub(r'(?<!^)([A-Z])', r'_\1', enum.name).upper() + '_')
    return UNSPECIFIED.sub('', name).lower() or 'none'


def type_of(field):
    """A field's type as people say it."""
    kinds = descriptor_pb2.FieldDescriptorProto.Type
    names = {'TYPE_STRING': 'text', 'TYPE_BOOL': 'yes or no',
             'TYPE_DOUBLE': 'number', 'TYPE_FIXED64': 'id'}
    name = kinds.Name(field.type)
    if name == 'TYPE_ENUM':
        return field.type_name.rpartition('.')[2].lower()
    return names.get(name, 'whole number')


def table(rows):
    """Rows of a Markdown table under the heading of fields."""
    return ['', '| Field | | |', '|---|---|---|',
            *(f'| `{name}` | {kind} | {text} |' for name, kind, text in rows)]


def main(descriptors, table_c, page_md):
    files = descriptor_pb2.FileDescriptorSet()
    with open(descriptors, 'rb') as file:
        files.ParseFromString(file.read())
    files = {file.name: file for file in files.file}
    comments = Comments(files[EVENTS])
    messages = {m.name: (n, m) for n, m in
                enumerate(files[EVENTS].message_type)}

    def fields(name):
        at, message = messages[name]
        return [(field, comments.of(f'{name}.{field.name}', MESSAGE, at, FIELD,
                                    n)) for n, field in
                enumerate(message.field) if not field.HasField('oneof_index')]

    event = messages['Event'][1]
    kinds = [(field.name, field.type_name.rpartition('.')[2]) for field in
             event.field if field.HasField('oneof_index')]
    texts, page, enums = {}, [HEAD], set()
    for kind, name in [(None, 'Event'), *kinds]:
        texts[name] = comments.of(name, MESSAGE, messages[name][0])
        page += ['', f'## {kind}', '', texts[name]] if kind else []
        rows = fields(name)
        texts.update((f'{name}.{f.name}', text) for f, text in rows)
        enums |= {f.type_name for f, _ in rows if f.type == f.TYPE_ENUM}
        page += table((f.name, type_of(f), text) for f, text in rows)
    for file in files.values():
        for n, enum in enumerate(file.enum_type):
            if f'.{file.package}.{enum.name}' not in enums:
                continue
            said = Comments(file)
            page += ['', f'## The words of {enum.name.lower()}', '',
                     *(f'- `{word(enum, value)}`: '
                       + (said.of(value.name, ENUM, n, VALUE, v) or 'Nothing.')
                       for v, value in enumerate(enum.value))]
    if comments.bare:
        sys.exit('\n'.join(comments.bare))
    with open(table_c, 'w') as out:
        print('#include "events_texts.h"\n\nconst events_text_t '
              'EVENTS_TEXTS[] = {', file=out)
        for name, text in texts.items():
            text = json.dumps(text, ensure_ascii=False)
            print(f'    {{ "{name}", {text} }},', file=out)
        print('    { 0 },\n};', file=out)
    with open(page_md, 'w') as out:
        print('\n'.join(page), file=out)


if __name__ == '__main__':
    main(*sys.argv[1:])
