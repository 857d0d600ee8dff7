// SPDX-License-Identifier: MIT
/* Walks protobuf's wire format without unpacking it. */
#include <stdint.h>

#include "wire.h"

struct wire {
	const uint8_t *at, *end;
};

static bool wire_varint(struct wire *wire, uint64_t *value)
{
	*value = 0;
	for (unsigned int shift = 0; shift < 64; shift += 7) {
		if (wire->at == wire->end)
			return false;
		*value |= (uint64_t)(*wire->at & 0x7f) << shift;
		if (!(*wire->at++ & 0x80))
			return true;
	}
	return false;
}

static bool wire_skip(struct wire *wire, uint64_t bytes)
{
	if (bytes > (uint64_t)(wire->end - wire->at))
		return false;
	wire->at += bytes;
	return true;
}

static bool is_sane(struct wire wire, const ProtobufCMessageDescriptor *type,
			    unsigned int depth)
{
	if (!depth)
		return false;
	while (wire.at < wire.end) {
		const ProtobufCFieldDescriptor *field;
		struct wire inner;
		uint64_t key, value;

		if (!wire_varint(&wire, &key))
			return false;
		switch (key & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			if (!wire_varint(&wire, &value))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
			if (!wire_skip(&wire, 8))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			if (!wire_skip(&wire, 4))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			if (!wire_varint(&wire, &value))
				return false;
			inner.at = wire.at;
			if (!wire_skip(&wire, value))
				return false;
			inner.end = wire.at;
			/* Protobuf numbers have 29 bits; protobuf-c looks at 32. */
			field = protobuf_c_message_descriptor_get_field(type,
									(unsigned int)(key >> 3));
			if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
			    !is_sane(inner, field->descriptor, depth - 1))
				return false;
			break;
		default:	/* groups, which nobody writes any more */
			return false;
		}
	}
	return true;
}

bool wire_is_sane(const void *data, size_t size, const ProtobufCMessageDescriptor *type,
		  unsigned int depth)
{
	const uint8_t *bytes = data;

	return is_sane((struct wire){ bytes, bytes + size }, type, depth);
}
