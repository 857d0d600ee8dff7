/* SPDX-License-Identifier: MIT */
/* What must hold of a protobuf message before protobuf-c may unpack it. */
#ifndef XRNPE_WIRE_H
#define XRNPE_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Whether the @size bytes at @data are framed like a message of @type whose messages are
 * nested at most @depth deep: protobuf-c unpacks by recursion without limit, so a small
 * hostile file could exhaust the stack.
 */
bool wire_is_sane(const void *data, size_t size, const ProtobufCMessageDescriptor *type,
		  unsigned int depth);

#endif
