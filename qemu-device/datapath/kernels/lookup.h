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

/* Of a table of pairs the first and the second bytes. */
LOOKUP static inline void load_split(struct table table[2], const uint8_t *entry)
{
	uint8_t each[2][256];

	for (size_t j = 0; j < 256; j += WORDS) {
		half_bytes part;
		halfs pairs;

		memcpy(&pairs, entry + 2 * j, sizeof(pairs));
		part = __builtin_convertvector(pairs, half_bytes);
		memcpy(each[0] + j, &part, sizeof(part));
		part = __builtin_convertvector(pairs >> 8, half_bytes);
		memcpy(each[1] + j, &part, sizeof(part));
	}
	load_table(&table[0], each[0]);
	load_table(&table[1], each[1]);
}

/* Pairs of the first and the second bytes, which were spread. */
LOOKUP static inline void store_pairs(uint8_t *out, bytes first, bytes second)
{
	ints pairs[2] = {
		INSTRUCTION(unpacklo_epi8)((ints)first, (ints)second),
		INSTRUCTION(unpackhi_epi8)((ints)first, (ints)second),
	};

	memcpy(out, pairs, sizeof(pairs));
}

LOOKUP static void look_up_pairs(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	struct table split[2];
	size_t i = 0;

	if (count < WORTH_SPLITTING) {
		xrnpe_map_pairs(table, in, out, count);
		return;
	}
	load_split(split, table);
	for (; i + VECTOR <= count; i += VECTOR) {
		bytes index;

		memcpy(&index, in + i, sizeof(index));
		index = spread(index);
		store_pairs(out + 2 * i, look_up(&split[0], index), look_up(&split[1], index));
	}
	xrnpe_map_pairs(table, in + i, out + 2 * i, count - i);
}

#endif
