/* SPDX-License-Identifier: MIT */
/*
 * Tables of 256 bytes or pairs of them in vectors. An instruction set's codec defines LOOKUP, the
 * attributes of functions here, struct table, load_table() and look_up(), and includes this
 * after fixed.h.
 */
#ifndef XRNPE_DATAPATH_LOOKUP_H
#define XRNPE_DATAPATH_LOOKUP_H

#define WORTH_SPLITTING 256	/* pairs; a table is as many */

LOOKUP static void look_up_bytes(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	struct table whole;
	size_t i = 0;

	load_table(&whole, table);
	for (; i + VECTOR <= count; i += VECTOR) {
		bytes index;

		memcpy(&index, in + i, sizeof(index));
		index = look_up(&whole, index);
		memcpy(out + i, &index, sizeof(index));
	}
	xrnpe_map_bytes(table, in + i, out + i, count - i);
}

/* First and second bytes apart. */
LOOKUP static void look_up_pairs(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	uint8_t each[2][256];
	struct table first, second;
	size_t i = 0;

	if (count < WORTH_SPLITTING) {
		xrnpe_map_pairs(table, in, out, count);
		return;
	}
	for (size_t j = 0; j < 256; j += WORDS) {
		half_bytes part;
		halfs pairs;

		memcpy(&pairs, table + 2 * j, sizeof(pairs));
		part = __builtin_convertvector(pairs, half_bytes);
		memcpy(each[0] + j, &part, sizeof(part));
		part = __builtin_convertvector(pairs >> 8, half_bytes);
		memcpy(each[1] + j, &part, sizeof(part));
	}
	load_table(&first, each[0]);
	load_table(&second, each[1]);
	for (; i + VECTOR <= count; i += VECTOR) {
		bytes index, value[2];
		ints low, high;

		memcpy(&index, in + i, sizeof(index));
		index = spread(index);
		low = (ints)look_up(&first, index);
		high = (ints)look_up(&second, index);
		value[0] = (bytes)INSTRUCTION(unpacklo_epi8)(low, high);
		value[1] = (bytes)INSTRUCTION(unpackhi_epi8)(low, high);
		memcpy(out + 2 * i, value, sizeof(value));
	}
	xrnpe_map_pairs(table, in + i, out + 2 * i, count - i);
}

#endif
