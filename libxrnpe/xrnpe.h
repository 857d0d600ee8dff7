/* SPDX-License-Identifier: MIT */
/**
 * @file xrnpe.h
 * libxrnpe: run neural networks on an XR-NPE co-processor, or on its emulator.
 *
 * Both give the same bits. Documentation/library.rst is a tutorial.
 *
 * Errors
 *   Functions that can fail return 0 or a negative errno value, and take a
 *   struct xrnpe_error (may be NULL) that they fill with one message for humans
 *   that names the file, layer, operator, command or region concerned. It is
 *   written only on failure. Common to all: -ENOMEM. A NULL argument where none
 *   is allowed is undefined behaviour, as in the C library.
 *
 * Ownership
 *   What an xrnpe_*_new(), _open(), _load() or _compile() function returns
 *   belongs to the caller, who gives it to the _free() or _close() function of
 *   its kind, which accepts NULL. Objects keep what they were made from alive:
 *   they may be freed in any order. Pointers that accessors return belong to the
 *   object and live as long as it does.
 *
 * Threads
 *   Different objects may be used from different threads at the same time, even
 *   where they share a device, session or model. A device, a model and a session
 *   may themselves be used from several threads at once. A request, a buffer
 *   and an array serve one thread at a time, but for xrnpe_request_cancel(). Freeing is
 *   not using: it must come last.
 *
 * Tensors are passed as float (IEEE binary32), C order, in the shape that the model's
 * file gives them; a batch dimension that it leaves open is 1. Batches are passed as that
 * many tensors, one after the other.
 */
#ifndef XRNPE_H
#define XRNPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drm/xrnpe_cmd.h"	/* formats, fault kinds, limits */
#include "energy.h"		/* struct xrnpe_energy */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors, names ---------------------------------------------------- */

#define XRNPE_ERROR_SIZE 2048

/** One error. Needs no initialisation and no cleanup. */
struct xrnpe_error {
	int code;			/**< negative errno, as the function returned */
	char message[XRNPE_ERROR_SIZE];	/**< a sentence without newline or full stop */
};

/** Version of the library, "0.1.0". */
const char *xrnpe_version(void);

/** Name of a format: "fp4", "p4", "p8", "p16", "f32"; NULL if there is none. */
const char *xrnpe_format_name(enum xrnpe_format format);

/** Format called @name. Returns 0, or -EINVAL. */
int xrnpe_format_from_name(const char *name, enum xrnpe_format *format);

/* ---- arrays and .npy files -------------------------------------------- */

#define XRNPE_MAX_RANK 8

/** A dense array in C order. */
struct xrnpe_array {
	unsigned int rank;		/**< dimensions, 0..XRNPE_MAX_RANK */
	size_t dims[XRNPE_MAX_RANK];	/**< outermost first; dims[i >= rank] are 1 */
	size_t count;			/**< elements: product of dims */
	float *data;			/**< from malloc(); freed by xrnpe_array_clear() */
};

/**
 * Read a NumPy .npy file, version 1, 2 or 3, C order, little-endian.
 *
 * float32 is taken as it is. uint8, int32 and int64 are converted; a value that
 * float32 does not hold exactly is an error, as is any other type.
 *
 * @array: filled on success only; give it to xrnpe_array_clear()
 *
 * Returns 0; -ENOENT, -EACCES and the like: cannot be read; -EINVAL: not such a
 * file, or its length does not match its header; -ENOTSUP: an element type or
 * order not supported.
 */
int xrnpe_npy_read(const char *path, struct xrnpe_array *array, struct xrnpe_error *error);

/**
 * Write @array as a float32 .npy file, version 1. The file appears at @path only
 * when it is complete; an older one is replaced. Returns 0 or what failed.
 */
int xrnpe_npy_write(const char *path, const struct xrnpe_array *array,
		    struct xrnpe_error *error);

/** Free the data and zero the structure. */
void xrnpe_array_clear(struct xrnpe_array *array);

/* ---- devices ---------------------------------------------------------- */

/** An opened device. Thread-safe. */
struct xrnpe_device;

/** What a device is. */
struct xrnpe_device_info {
	const char *backend;		/**< "emu" or "drm" */
	const char *path;		/**< device node; "emu" for the emulator */
	const char *driver;		/**< kernel driver's name and version, or the emulator's kernel */
	uint32_t version;		/**< programming model: major << 16 | minor */
	uint32_t rows;			/**< processing elements down */
	uint32_t cols;			/**< processing elements across */
	uint32_t queues;		/**< priorities that the process may use; 0 is served first */
	uint32_t max_cmds;		/**< commands in a job */
	uint32_t max_regions;		/**< regions in a job */
	uint64_t max_buffer_size;	/**< bytes */
	uint32_t job_timeout_ms;	/**< time a job may execute; 0: no limit */
	uint32_t threads;		/**< emulator: worker threads; else 0 */
	uint32_t bus_bytes;		/**< that its bus moves in a cycle */
	uint32_t sram_kib;		/**< its operand buffers */
	uint32_t clock_khz;		/**< of its array */
};

/**
 * Open a device.
 *
 * @name: "emu": the emulator, one worker thread per CPU (or as many as the
 *	environment variable XRNPE_THREADS says); "drm": the first XR-NPE device
 *	node found; else the path of one
 *
 * Returns 0; -ENODEV: there is none, or the node is another driver's; -ENOENT: no
 * such path; -EACCES: no permission; -ENOTSUP: a programming model that this
 * library does not know.
 */
int xrnpe_device_open(const char *name, struct xrnpe_device **device,
		      struct xrnpe_error *error);

/** Close a device. */
void xrnpe_device_close(struct xrnpe_device *device);

/** What the device is. */
const struct xrnpe_device_info *xrnpe_device_info(const struct xrnpe_device *device);

/* ---- buffers ---------------------------------------------------------- */

/** Memory shared with a device. */
struct xrnpe_buffer;

/** Who uses a buffer next; for xrnpe_buffer_sync(). */
enum xrnpe_sync {
	XRNPE_SYNC_FOR_CPU,	/**< after a job wrote, before the CPU reads */
	XRNPE_SYNC_FOR_DEVICE,	/**< after the CPU wrote, before a job is submitted */
};

/**
 * Make a zeroed buffer.
 *
 * @size: bytes, 1 .. max_buffer_size of the device
 *
 * Returns 0; -EINVAL: @size is out of range; -ENOMEM.
 */
int xrnpe_buffer_new(struct xrnpe_device *device, size_t size,
		     struct xrnpe_buffer **buffer, struct xrnpe_error *error);

/**
 * Make a buffer of memory that is there already: a dma-buf, such as a camera's frame or a
 * display's picture. No byte is copied, and the buffer's size is the dma-buf's.
 *
 * @fd: stays the caller's. The emulator takes whatever mmap(2) maps shared for reading and
 *	writing, memfd_create(2)'s too
 *
 * Returns 0; -EINVAL: not a dma-buf, or not contiguous, which the device needs; -ENODEV and the
 * like: as the kernel says.
 */
int xrnpe_buffer_import(struct xrnpe_device *device, int fd, struct xrnpe_buffer **buffer,
			struct xrnpe_error *error);

/**
 * Make a buffer of the program's own memory, without copying it.
 *
 * @memory: @size bytes, aligned to 64, that stay until the buffer is freed
 *
 * Returns 0; -EINVAL: not aligned, or @size is out of range; -ENOTSUP: the device is none of
 * the emulator's: it reaches no memory of a program's. There use the memory of
 * xrnpe_buffer_new(), which is the program's as well.
 */
int xrnpe_buffer_wrap(struct xrnpe_device *device, void *memory, size_t size,
		      struct xrnpe_buffer **buffer, struct xrnpe_error *error);

/** Free a buffer. Jobs that use it must have ended; a request that it is bound to keeps it. */
void xrnpe_buffer_free(struct xrnpe_buffer *buffer);

/**
 * Its memory: at least 64-byte aligned, valid until the buffer is freed. NULL: it was imported,
 * and the CPU cannot reach it.
 */
void *xrnpe_buffer_data(const struct xrnpe_buffer *buffer);

/** Its size in bytes, as asked for. */
size_t xrnpe_buffer_size(const struct xrnpe_buffer *buffer);

/**
 * Hand bytes @offset .. @offset + @size - 1 over. Does not wait for jobs.
 * Returns 0; -EINVAL: out of range.
 */
int xrnpe_buffer_sync(struct xrnpe_buffer *buffer, enum xrnpe_sync sync,
		      size_t offset, size_t size, struct xrnpe_error *error);

/* ---- compiled models -------------------------------------------------- */

/** A compiled model. Immutable, thread-safe, independent of any device. */
struct xrnpe_model;

/** What elements of a tensor are in the model's file. Programs pass all as float. */
enum xrnpe_type {
	XRNPE_TYPE_FLOAT,
	XRNPE_TYPE_INT,			/**< integers: exact as float up to 2^24 */
	XRNPE_TYPE_BOOL,		/**< 0 or 1 */
	XRNPE_TYPE_BYTE,		/**< 0 .. 255: see struct xrnpe_byte_input */
};

/** Most dimensions of a model's tensor. */
#define XRNPE_TENSOR_RANK 6

/** An input or output of a model. */
struct xrnpe_tensor_info {
	const char *name;		/**< as in the model's file */
	enum xrnpe_type type;
	unsigned int rank;		/**< 0..XRNPE_TENSOR_RANK */
	size_t dims[XRNPE_TENSOR_RANK];	/**< as in the file, a free batch is 1; others are 1 */
	size_t count;			/**< elements: product of dims */
};

/** Where a layer runs. */
enum xrnpe_place {
	XRNPE_PLACE_DEVICE,
	XRNPE_PLACE_CPU,		/**< in the library, in binary32 */
};

/** A layer of a model, as the compiler reports it. */
struct xrnpe_layer_info {
	const char *name;		/**< of its ONNX node or output */
	const char *op;			/**< ONNX operators it stands for: "Conv+Relu" */
	enum xrnpe_place place;
	const char *why;		/**< on the CPU: why not on the device; else empty */
	unsigned int rank;		/**< of its first output, as in xrnpe_tensor_info */
	size_t dims[XRNPE_TENSOR_RANK];	/**< shape of its first output; beyond the rank 1 */
	const char *output;		/**< name of that: see xrnpe_request_keep_layer() */
	uint64_t macs;			/**< products summed for one inference */
	enum xrnpe_format format;	/**< of its inputs; of a Conv+Add: of what it multiplies; F32: CPU */
	enum xrnpe_format weight_format; /**< of its weights; where it has none, as @format */
	enum xrnpe_format added_format;	/**< of what a Conv+Add adds; of all others as @format */
	enum xrnpe_format out_format;	/**< of its output */
	uint64_t bytes;			/**< weights, scales and biases as stored */
	uint64_t float_bytes;		/**< the same parameters in binary32 */
	/**
	 * Root mean square of (output - FP32 output) over that of the FP32 output, both over
	 * the inputs that xrnpe_model_quality() tells of; 0 for a layer that loses nothing.
	 */
	double error;
	/**
	 * The same when its weights alone, or its inputs alone, were in format i and all
	 * else in binary32; negative: not measured.
	 */
	double weight_error[4];
	double input_error[4];
};

/**
 * Load a .xrnpe file (Documentation/model-format.rst) and check all of it:
 * checksums, sizes, and that each command stays inside its regions.
 *
 * Returns 0; -ENOENT, -EACCES and the like: cannot be read; -EINVAL: not such a
 * file, or damaged; -ENOTSUP: of a newer version.
 */
int xrnpe_model_load(const char *path, struct xrnpe_model **model, struct xrnpe_error *error);

/** The same from @size bytes in memory, which are not needed afterwards; @name is for messages. */
int xrnpe_model_parse(const char *name, const void *data, size_t size,
		      struct xrnpe_model **model, struct xrnpe_error *error);

/**
 * Write a model. The file appears at @path only when it is complete. The same
 * model always gives the same bytes. Returns 0 or what failed.
 */
int xrnpe_model_save(const struct xrnpe_model *model, const char *path,
		     struct xrnpe_error *error);

/**
 * The same to memory: what xrnpe_model_parse() reads.
 *
 * @data: room for *@size bytes; may be NULL if that is 0
 * @size: in: the room; out: what the model takes, also where there is too little room
 *
 * Returns 0; -ENOSPC: there is too little room, and nothing is written.
 */
int xrnpe_model_pack(const struct xrnpe_model *model, void *data, size_t *size,
		     struct xrnpe_error *error);

/** Free a model. */
void xrnpe_model_free(struct xrnpe_model *model);

/** Number of inputs, and the i-th; i is less than the number. */
unsigned int xrnpe_model_input_count(const struct xrnpe_model *model);
const struct xrnpe_tensor_info *xrnpe_model_input(const struct xrnpe_model *model, unsigned int i);

/** Number of outputs, and the i-th. */
unsigned int xrnpe_model_output_count(const struct xrnpe_model *model);
const struct xrnpe_tensor_info *xrnpe_model_output(const struct xrnpe_model *model, unsigned int i);

/**
 * Number of points of a model. A model may have several: the same network in other formats, with
 * the same inputs, outputs and layers, from the fastest to the most exact. They share the
 * constants that are equal, and a session switches between them.
 */
unsigned int xrnpe_model_point_count(const struct xrnpe_model *model);

/**
 * The @i-th point of @model, NULL if there is none. It is a model: what is told of layers, costs
 * and quality, and what a session begins with, is that of the point. It lives as long as @model.
 */
struct xrnpe_model *xrnpe_model_point(const struct xrnpe_model *model, unsigned int i);

/** Which point @model is. What is loaded or compiled is the one that suits the limits best. */
unsigned int xrnpe_model_point_index(const struct xrnpe_model *model);

/** Memory that a model needs on a device, bytes: what all points need together, and one. */
struct xrnpe_footprint {
	uint64_t constants;		/**< weights, scales, tables: once a session */
	uint64_t commands;		/**< once a session */
	uint64_t arena;			/**< tensors between layers: for each request, as what follows */
	uint64_t inputs;
	uint64_t outputs;
	uint64_t used_constants;	/**< of @constants: what this point uses */
	uint64_t own_constants;		/**< of these: what no other point uses */
	uint64_t own_commands;		/**< of @commands: this point's */
};

void xrnpe_model_footprint(const struct xrnpe_model *model, struct xrnpe_footprint *footprint);

/** How an input or output lies in a buffer. */
struct xrnpe_layout {
	enum xrnpe_format format;	/**< of its elements */
	size_t size;			/**< bytes from its first to its last */
	/** Bytes from an element to the next of each dimension; of those beyond the rank 0. */
	size_t strides[XRNPE_TENSOR_RANK];
};

/**
 * How the @i-th input, or output, lies in a buffer that is bound to it. Most have the channels
 * of a pixel together, whatever their shape.
 *
 * Returns 0; -ENOTSUP: strides cannot tell it.
 */
int xrnpe_model_input_layout(const struct xrnpe_model *model, unsigned int i,
			     struct xrnpe_layout *layout, struct xrnpe_error *error);
int xrnpe_model_output_layout(const struct xrnpe_model *model, unsigned int i,
			      struct xrnpe_layout *layout, struct xrnpe_error *error);

/** Number of layers, and the i-th. */
unsigned int xrnpe_model_layer_count(const struct xrnpe_model *model);
const struct xrnpe_layer_info *xrnpe_model_layer(const struct xrnpe_model *model, unsigned int i);

/** How much a model differs from the network in binary32. */
struct xrnpe_quality {
	/**
	 * Root mean square of (output - FP32 output) over that of the FP32 output: of all
	 * outputs that which differs most. Where numbers are turned into integers or truths
	 * (ArgMax), what counts is the numbers.
	 */
	double error;
	/** Standard error of @error, as it differs from input to input; INFINITY: one input. */
	double spread;
	unsigned int inputs;	/**< calibration inputs that it was measured on */
	/**
	 * These were kept aside: nothing was fitted to them, and on inputs like them the
	 * error will be the same. False: there were too few inputs for that, and on others it
	 * will be larger.
	 */
	bool unseen;
};

/** What the compiler measured when it was done. */
const struct xrnpe_quality *xrnpe_model_quality(const struct xrnpe_model *model);

/** How well a model does what the network is for: see struct xrnpe_compile_options.labels. */
struct xrnpe_task {
	bool classes;			/**< labels are classes; false: outputs, as they should be */
	/** Share of inputs of which it tells the class; or root mean square of output - label. */
	double score;
	double float_score;		/**< the same of the network in binary32 */
	/** @float_score - @score; or @score / @float_score - 1. Negative: the model does better. */
	double loss;
	/**
	 * Standard error of @loss, as it differs from input to input: of each input what the
	 * model makes of it is compared with what binary32 does.
	 */
	double spread;
	unsigned int inputs;		/**< that it was measured on; nothing was fitted to these */
};

/** What the compiler measured of that. NULL: there were no labels. */
const struct xrnpe_task *xrnpe_model_task(const struct xrnpe_model *model);

/** A choice of formats that the compiler tried: what it takes, and how much it differs. */
struct xrnpe_trial {
	uint64_t bytes;			/**< of weights, scales and biases together */
	double cycles;			/**< of one inference, on the default array */
	double picojoules;		/**< of one inference, likewise */
	struct xrnpe_quality quality;
	struct xrnpe_task task;		/**< if there are labels; else all zero */
	bool best;			/**< no other is as good in all of these, and better in one */
	bool chosen;			/**< this one was taken */
	bool carried;			/**< it is a point of the model */
};

/**
 * What the compiler tried, from the smallest on; see
 * struct xrnpe_compile_options.trials. Of a model from a file there are none.
 */
unsigned int xrnpe_model_trial_count(const struct xrnpe_model *model);
const struct xrnpe_trial *xrnpe_model_trial(const struct xrnpe_model *model, unsigned int i);

/** What a layer or a model costs on a device, for one inference. */
struct xrnpe_cost {
	struct xrnpe_counters counters;	/**< as the device counts; see uapi and hardware.rst */
	double utilisation;		/**< share of the array's multiply-adds that was used, 0..1 */
	double seconds;			/**< of its cycles */
	double picojoules;		/**< by the figures that were given */
};

/**
 * Fill in the figures by default: for 28 nm, some measured by others and some assumed, as
 * hardware.rst tells under "Energy". Who knows better ones of a chip sets them.
 */
void xrnpe_energy_init(struct xrnpe_energy *energy);

/**
 * Set a figure by its name, which is that of its field; of a product formats of weights and
 * inputs: "fp4/p8".
 *
 * Returns 0; -EINVAL: there is no such figure, or @value is none: it is not from 0, of sharing
 * from 1, to 1e12.
 */
int xrnpe_energy_set(struct xrnpe_energy *energy, const char *name, double value,
		     struct xrnpe_error *error);

/**
 * Predict by the device's cycle model what a model costs, without running it. The
 * counters are those that a request's result would have, exactly.
 *
 * @device: its array, bus, memory and clock count; NULL: the default, the emulator's
 * @energy: figures by which energy is told; NULL: those of xrnpe_energy_init()
 * @total: of all layers; may be NULL
 * @layers: room for xrnpe_model_layer_count(), or NULL
 */
void xrnpe_model_predict(const struct xrnpe_model *model, const struct xrnpe_device_info *device,
			 const struct xrnpe_energy *energy, struct xrnpe_cost *total,
			 struct xrnpe_cost *layers);

/* ---- running ---------------------------------------------------------- */

/** A model made ready on a device: constants and commands are there. Thread-safe. */
struct xrnpe_session;

/** One inference: input, output and scratch memory. */
struct xrnpe_request;

/** How a request ended. */
struct xrnpe_result {
	uint32_t status;		/**< XRNPE_STATUS_* */
	struct xrnpe_fault fault;	/**< kind XRNPE_FAULT_NONE: it ended well */
	struct xrnpe_counters counters;	/**< zero unless xrnpe_request_count() asked for them */
	/**
	 * Bytes that the CPU copied: inputs set since the submission before, tensors that nodes on
	 * the CPU read or wrote, outputs got. Of what is bound to buffers, none.
	 */
	uint64_t copied;
	double cpu_seconds;		/**< that nodes on the CPU took, with what they copied */
	unsigned int point;		/**< of the model, that it ran at */
};

/** Which requests go first where several sessions want the device. */
enum xrnpe_priority {
	XRNPE_PRIORITY_NORMAL,		/**< queue 1, where there is one */
	XRNPE_PRIORITY_URGENT,		/**< queue 0: what cannot wait, such as a gaze for each frame */
	XRNPE_PRIORITY_BACKGROUND,	/**< the last queue */
};

/** How a session runs. A zeroed structure is a good start. */
struct xrnpe_session_options {
	enum xrnpe_priority priority;
	/** Figures by which a governor tells energy, copied; NULL: those of xrnpe_energy_init() */
	const struct xrnpe_energy *energy;
};

/**
 * Put a model on a device, all of its points.
 *
 * @options: may be NULL
 *
 * Returns 0; -E2BIG: the model has more commands or bytes than the device takes; -EINVAL: no
 * such priority, or a figure of energy is none, see xrnpe_energy_set().
 */
int xrnpe_session_new(struct xrnpe_device *device, struct xrnpe_model *model,
		      const struct xrnpe_session_options *options,
		      struct xrnpe_session **session, struct xrnpe_error *error);

/**
 * Let what is submitted from now on run at another point of the model; what was submitted before
 * is not touched. Requests, their inputs and what is bound to them stay. A session begins with
 * the point that it was made from. A governor that there is governs no more.
 *
 * Returns 0; -EINVAL: there is no such point.
 */
int xrnpe_session_set_point(struct xrnpe_session *session, unsigned int point,
			    struct xrnpe_error *error);

/** The point that a submission would run at now. */
unsigned int xrnpe_session_point(struct xrnpe_session *session);

/** What inferences may take where a governor picks points. 0: no limit. */
struct xrnpe_governor {
	double seconds;		/**< deadline: of the device, and of nodes on the CPU */
	double picojoules;	/**< hint of power: of the device */
	double error;		/**< as in struct xrnpe_quality: points that differ more are left out */
};

/**
 * Let a governor pick the point of each submission from now on: of the points that keep the
 * limits the most exact; if none does, that which exceeds them least.
 *
 * Energy is that of xrnpe_model_predict(), by the figures of the session's options. So is time on
 * the emulator, whose own time tells nothing. On a device it is in proportion to what its jobs
 * took so far, alone, without waiting for others', and with what nodes on the CPU took; and to go
 * to a point that is more exact, that must keep the deadline by a tenth.
 *
 * @governor: copied; NULL: no more, the point stays what it is
 *
 * Returns 0; -EINVAL: a limit is negative, or no number.
 */
int xrnpe_session_govern(struct xrnpe_session *session, const struct xrnpe_governor *governor,
			 struct xrnpe_error *error);

/**
 * Read a limit as a user writes it, and add it to @governor: a time ("2ms", "300us"), an energy
 * ("2mJ", "80uJ") or an error ("1%"). Of two of a kind the tighter one holds. Returns 0 or
 * -EINVAL.
 */
int xrnpe_governor_parse(const char *text, struct xrnpe_governor *governor,
			 struct xrnpe_error *error);

/** Free a session. */
void xrnpe_session_free(struct xrnpe_session *session);

/**
 * Called by xrnpe_session_run() in the calling thread, as elements are done.
 * Not zero: stop, and xrnpe_session_run() returns -ECANCELED.
 */
typedef int (*xrnpe_progress)(void *data, size_t done, size_t total);

/**
 * Run a batch, with as many elements in flight as keep the device busy, and wait. Of small models
 * several elements are one job of a kernel driver's device. The session keeps the memory of these
 * for its next batches, on such a device if it is little.
 *
 * @inputs: by input, @count of each one after the other
 * @outputs: by output, room for @count of each; NULL: not wanted
 * @progress: may be NULL
 * @status: may be NULL; XRNPE_STATUS_* of all elements or-ed
 *
 * Returns 0; -ECANCELED; else as xrnpe_request_wait().
 */
int xrnpe_session_run(struct xrnpe_session *session, size_t count, const float *const *inputs,
		      float *const *outputs, xrnpe_progress progress, void *data,
		      uint32_t *status, struct xrnpe_error *error);

/** Make a request. */
int xrnpe_request_new(struct xrnpe_session *session, struct xrnpe_request **request,
		      struct xrnpe_error *error);

/** Free a request; waits until its job, if any, has ended. */
void xrnpe_request_free(struct xrnpe_request *request);

/**
 * Set the @i-th input from @count floats. What is refused leaves the input as it was.
 * Returns 0; -EINVAL: no such input, not its count, or for one of bytes a value that is none;
 * -EBUSY: it is submitted; -ENOTSUP: it is bound to a buffer that cannot be mapped.
 */
int xrnpe_request_set_input(struct xrnpe_request *request, unsigned int i,
			    const float *values, size_t count, struct xrnpe_error *error);

/** The same of an input of bytes, from bytes. -EINVAL, too: it takes none. */
int xrnpe_request_set_bytes(struct xrnpe_request *request, unsigned int i, const uint8_t *bytes,
			    size_t count, struct xrnpe_error *error);

/**
 * Let the @i-th input lie in @buffer, from the next submission on, until another is bound: what
 * is there at @offset is read where it lies, in the order that xrnpe_model_input_layout()
 * tells. xrnpe_request_set_input() writes there, too. If the CPU writes there by other means
 * xrnpe_buffer_sync() must follow; xrnpe_request_submit() does not do that.
 *
 * @buffer: of the session's device; NULL: the request's own memory again
 * @offset: bytes, a multiple of 64
 *
 * Returns 0; -EINVAL: no such input, another device's buffer, or too small; -EBUSY: it is
 * submitted; -ENOTSUP: the model has more inputs and outputs than jobs have regions (16, two of
 * which are taken), or a node on the CPU needs what cannot be mapped.
 */
int xrnpe_request_bind_input(struct xrnpe_request *request, unsigned int i,
			     struct xrnpe_buffer *buffer, size_t offset,
			     struct xrnpe_error *error);

/**
 * The same of the @i-th output, which is written there. Before the CPU reads it, by other means
 * than xrnpe_request_get_output(), comes xrnpe_buffer_sync(). Two outputs that are one tensor
 * lie in one buffer: the last that was bound.
 */
int xrnpe_request_bind_output(struct xrnpe_request *request, unsigned int i,
			      struct xrnpe_buffer *buffer, size_t offset,
			      struct xrnpe_error *error);

/**
 * Whether results have the job's counters, from the next submission on; at first they
 * do not. Not while it is submitted.
 */
void xrnpe_request_count(struct xrnpe_request *request, bool count);

/** What a layer took in a request. */
struct xrnpe_layer_profile {
	struct xrnpe_counters counters;	/**< as xrnpe_model_predict() predicts them; CPU: zero */
	double seconds;			/**< that its commands executed, or its node */
};

/**
 * Whether the request tells what each layer took, from the next submission on; at first it
 * does not. The layers' commands are jobs of their own then, one after the other: all of it
 * takes longer than it does otherwise.
 *
 * Returns 0; -EBUSY: it is submitted.
 */
int xrnpe_request_profile(struct xrnpe_request *request, bool profile,
			  struct xrnpe_error *error);

/**
 * By layer, what it took; valid as xrnpe_request_result() is, until xrnpe_request_profile() is
 * called again. NULL: that was not asked for.
 */
const struct xrnpe_layer_profile *xrnpe_request_layers(const struct xrnpe_request *request);

/**
 * Whether the request keeps what the @i-th layer writes, its first output, from the next
 * submission on; at first it does not. The bits of all layers and outputs are the same, but
 * the layer's commands end a job then: it takes longer, and memory for the output in
 * binary32.
 *
 * Returns 0; -EINVAL: no such layer; -EBUSY: it is submitted.
 */
int xrnpe_request_keep_layer(struct xrnpe_request *request, unsigned int i, bool keep,
			     struct xrnpe_error *error);

/**
 * Copy what the @i-th layer wrote, in the shape that its info tells, to @count floats: that of
 * xrnpe_graph_run() where its output is one of the graph's, but for what its formats lose.
 * Also of a request that ended badly, if it got so far.
 *
 * Returns 0; -EINVAL: no such layer, not its count, it was not kept, or the request did not get
 * to it; -EBUSY: it is submitted and not waited for.
 */
int xrnpe_request_get_layer(struct xrnpe_request *request, unsigned int i, float *values,
			    size_t count, struct xrnpe_error *error);

/**
 * Submit the request and return at once. Nodes on the CPU run in threads of the library's,
 * or in one that waits. Requests of a session execute in any order and side by side; a
 * request may be submitted again after it was waited for, and keeps its inputs.
 *
 * Returns 0; -EBUSY: it is submitted already; -ENODEV: the device is gone; -EIO: too many
 * requests in a row have failed.
 */
int xrnpe_request_submit(struct xrnpe_request *request, struct xrnpe_error *error);

/**
 * Wait until the request has ended.
 *
 * @timeout_ns: from now; 0: just look; negative: without limit
 *
 * Returns 0: it ended well; -ETIME: not yet; -EFAULT: its commands were at fault,
 * the message says which and how; -ETIMEDOUT: it ran longer than the device
 * allows, or more urgent work kept it from running; -ECANCELED: it was cancelled, its deadline
 * has passed, or the device was reset; -ENODEV: the device is gone; -EIO: too many requests in
 * a row have failed; -EINVAL: it was not submitted, or an integer input is given what is none.
 * Asking again gives the same answer.
 */
int xrnpe_request_wait(struct xrnpe_request *request, int64_t timeout_ns,
		       struct xrnpe_error *error);

/**
 * xrnpe_request_submit(), and xrnpe_request_wait() without limit. On the emulator no other
 * thread is woken for it, which can take as long as a small model does.
 *
 * Returns what they do.
 */
int xrnpe_request_run(struct xrnpe_request *request, struct xrnpe_error *error);

/**
 * Wait until one of several requests has ended, which xrnpe_request_wait() then tells how.
 *
 * @requests: @count of one device or of several; those that are not submitted, or were waited
 *	for, are left out
 * @index: out: the first of them that has ended
 *
 * Returns 0; -ETIME: none yet; -EINVAL: none is submitted; -EMFILE and the like: as
 * xrnpe_request_fd().
 */
int xrnpe_request_wait_any(struct xrnpe_request *const *requests, size_t count,
			   int64_t timeout_ns, size_t *index, struct xrnpe_error *error);

/**
 * A file descriptor that poll(2) and its kin find readable (POLLIN) when the submitted request
 * has ended, until it is submitted again. It stays the same, belongs to the request and is
 * closed with it; nobody reads from it or writes to it.
 *
 * Returns 0; -EMFILE, -ENFILE, -ENOMEM: there can be no more of them.
 */
int xrnpe_request_fd(struct xrnpe_request *request, int *fd, struct xrnpe_error *error);

/**
 * Called once for each submission when it has ended, in any thread. It is for passing the news
 * on, and must not call the library: what waits for the request goes on when it returns.
 */
typedef void (*xrnpe_ended)(void *data);

/**
 * Have @ended called, from the next submission on; NULL: no more.
 * Returns 0; -EBUSY: it is submitted and not waited for.
 */
int xrnpe_request_set_callback(struct xrnpe_request *request, xrnpe_ended ended, void *data,
			       struct xrnpe_error *error);

/**
 * Let each submission be cancelled if it has not ended after @timeout_ns, from the next one
 * on; 0: never.
 */
void xrnpe_request_set_deadline(struct xrnpe_request *request, int64_t timeout_ns);

/**
 * Cancel the request, from any thread, if it is submitted. It must be waited for all the
 * same: what has not begun never does, the emulator gives up within milliseconds, and a
 * device first ends the job that it was given. Then xrnpe_request_wait() returns -ECANCELED, but
 * for a request that had ended before.
 */
void xrnpe_request_cancel(struct xrnpe_request *request);

/** How the request ended; valid after xrnpe_request_wait() other than -ETIME. */
const struct xrnpe_result *xrnpe_request_result(const struct xrnpe_request *request);

/**
 * Copy the @i-th output to @count floats.
 * Returns 0; -EINVAL: no such output, not its count, or never submitted; -EBUSY: it is
 * submitted and not waited for.
 */
int xrnpe_request_get_output(struct xrnpe_request *request, unsigned int i,
			     float *values, size_t count, struct xrnpe_error *error);

/* ---- compiling -------------------------------------------------------- */

/** A network read from a file. Immutable, thread-safe. */
struct xrnpe_graph;

/** Any number of inputs or outputs, in struct xrnpe_operator_info. */
#define XRNPE_OPERATOR_ANY 255

/** An operator that networks may have. */
struct xrnpe_operator_info {
	const char *name;		/**< ONNX's */
	unsigned int min_inputs;
	unsigned int max_inputs;	/**< or XRNPE_OPERATOR_ANY */
	unsigned int max_outputs;	/**< or XRNPE_OPERATOR_ANY */
	const char *attributes;		/**< names of all it may have, separated by spaces */
};

/**
 * The @i-th of ONNX's operators that xrnpe_graph_load() takes. Constant and If are taken,
 * too, and are none of them: they hold tensors and graphs. What is told lives as long as the
 * library. Returns false beyond the last.
 */
bool xrnpe_operator(unsigned int i, struct xrnpe_operator_info *info);

/** The shape of an input of which the file leaves dimensions open. */
struct xrnpe_shape {
	const char *input;		/**< its name */
	unsigned int rank;
	size_t dims[XRNPE_TENSOR_RANK];
};

/**
 * An input that programs give as bytes, such as a camera's pixels, where the network takes reals.
 * The device converts them as it reads: real = (byte - mean) * scale. Its info then has the
 * type XRNPE_TYPE_BYTE, and dimensions in the order of the bytes.
 */
struct xrnpe_byte_input {
	/**
	 * Its name; NULL: the only one. It is an image of 1 x channels x height x width, or of
	 * 1 x height x width x channels: the latter if only then there are 4 channels or fewer.
	 */
	const char *input;
	bool planar;			/**< one channel after the other, not one pixel after the other */
	size_t channels;		/**< of the two that follow: all, or one for all */
	const float *mean;		/**< at most 65536 in magnitude; NULL: 0 */
	const float *scale;		/**< not zero; NULL: 1 */
};

/** How to read a network. A zeroed structure takes the file as it is. */
struct xrnpe_graph_options {
	/**
	 * Shapes of inputs with dimensions that the file leaves open. A first one that is
	 * open is the batch and needs none: it is 1.
	 */
	const struct xrnpe_shape *shapes;
	size_t shape_count;
	/** Tensors of the file to be the outputs instead of its own: cut points. */
	const char *const *outputs;
	size_t output_count;
	/** Inputs that programs give as bytes. */
	const struct xrnpe_byte_input *bytes;
	size_t byte_count;
};

/**
 * Read a network, ONNX or TensorFlow Lite: which one, its first bytes say. Constants are
 * computed, what no output needs is dropped, and all that is not supported is listed at once.
 * The manual lists operators. A name of a tensor that the file gives twice, or not at all,
 * gets the tensor's number behind it: "features:7".
 *
 * @options: may be NULL
 *
 * Returns 0; -ENOENT, -EACCES and the like: cannot be read; -EINVAL: not such a file, one
 * that contradicts itself, or options that do not fit it; -ENOTSUP: operators,
 * attributes, types or sizes that are not supported. Messages name file, node and operator.
 */
int xrnpe_graph_load(const char *path, const struct xrnpe_graph_options *options,
		     struct xrnpe_graph **graph, struct xrnpe_error *error);

/**
 * The same from memory; @name is what messages call the file. Data outside the file are
 * not found.
 */
int xrnpe_graph_parse(const char *name, const void *data, size_t size,
		      const struct xrnpe_graph_options *options,
		      struct xrnpe_graph **graph, struct xrnpe_error *error);

/** Free a graph. */
void xrnpe_graph_free(struct xrnpe_graph *graph);

/** Number of inputs, and the i-th; i is less than the number. */
unsigned int xrnpe_graph_input_count(const struct xrnpe_graph *graph);
const struct xrnpe_tensor_info *xrnpe_graph_input(const struct xrnpe_graph *graph, unsigned int i);

/** Number of outputs, and the i-th. */
unsigned int xrnpe_graph_output_count(const struct xrnpe_graph *graph);
const struct xrnpe_tensor_info *xrnpe_graph_output(const struct xrnpe_graph *graph,
						   unsigned int i);

/** Bytes of the parameters (weights and biases) in binary32, batch norms folded. */
uint64_t xrnpe_graph_bytes(const struct xrnpe_graph *graph);

/**
 * Compute in binary32 on the CPU: the reference that quantised models are measured
 * against. Uses all CPUs (or as many as the environment variable XRNPE_THREADS
 * says); the result does not depend on how many.
 *
 * @inputs: by input, @count of each one after the other
 * @outputs: by output, room for @count of each; NULL: not wanted
 * @progress: may be NULL; called as in xrnpe_session_run()
 *
 * Returns 0; -EINVAL: an integer input is given what is none; -ECANCELED.
 */
int xrnpe_graph_run(const struct xrnpe_graph *graph, size_t count, const float *const *inputs,
		    float *const *outputs, xrnpe_progress progress, void *data,
		    struct xrnpe_error *error);

/**
 * A tensor on the way from the inputs to the outputs, by its name: as the file calls it, if it
 * is still there when what is one with its neighbours is folded; such as what a layer of a
 * model writes, struct xrnpe_layer_info.output.
 *
 * @info: out; its name is the graph's
 *
 * Returns 0; -EINVAL: nothing computes a tensor of that name.
 */
int xrnpe_graph_tensor(const struct xrnpe_graph *graph, const char *name,
		       struct xrnpe_tensor_info *info, struct xrnpe_error *error);

/**
 * xrnpe_graph_run() for any tensors: the @tensor_count that @names lists.
 *
 * @tensors: by name, room for @count of each
 *
 * Returns -EINVAL, too: nothing computes a tensor of a name.
 */
int xrnpe_graph_run_tensors(const struct xrnpe_graph *graph, size_t count,
			    const float *const *inputs, const char *const *names,
			    size_t tensor_count, float *const *tensors, xrnpe_progress progress,
			    void *data, struct xrnpe_error *error);

/**
 * Write a graph as an ONNX file: what xrnpe_graph_load() read, with batch norms and what
 * else is one with its neighbours folded, a free batch 1, and the scales that the file
 * gave. Nodes of one layer have its name. Functions of one number that follow each other are
 * a node of this library's own, "Function", which other programs do not know. The file
 * appears at @path only when it is complete. Returns 0 or what failed.
 */
int xrnpe_graph_save(const struct xrnpe_graph *graph, const char *path,
		     struct xrnpe_error *error);

/** Formats of a layer that the caller chose. */
struct xrnpe_layer_formats {
	/**
	 * Its name; NULL: every layer that no other entry names. Of these, one that cannot read
	 * @input has the narrowest that it can instead, which is noted.
	 */
	const char *layer;
	enum xrnpe_format weight;	/**< of its weights, if it has any */
	enum xrnpe_format input;	/**< of its inputs */
	bool adds;			/**< @added is given; false: it is @input */
	enum xrnpe_format added;	/**< of what a Conv+Add adds */
};

/** What a model may take, and how much it may differ from binary32. 0: no limit. */
struct xrnpe_limits {
	uint64_t bytes;			/**< of weights, scales and biases together */
	double cycles;			/**< of one inference, on the default array */
	double picojoules;		/**< of one inference, likewise; see struct xrnpe_cost */
	double error;			/**< as in struct xrnpe_quality: 0.01 is 1 % */
	double loss;			/**< as in struct xrnpe_task: 0.01 is one of 100 inputs; needs labels */
};

/** An error that is not seen: a point is off by less than a pixel of a hundred. */
#define XRNPE_VISIBLE_ERROR 0.01

/** Called with a sentence, without a full stop, in the caller's thread. */
typedef void (*xrnpe_note)(void *data, const char *text);

/** How to compile. A zeroed structure with @calibration set is a good start. */
struct xrnpe_compile_options {
	/**
	 * Typical inputs: an array for each input of the graph, of its shape, of count x its
	 * shape or, where its first dimension is 1, without that or with count in place of it;
	 * count is the same for all. Scales, weights, biases and formats are fitted to most of them;
	 * a quarter, 64 at most, are kept aside to measure errors on. Of more than
	 * XRNPE_CALIBRATION_MAX some are left out, evenly; so is one whose values are far from
	 * those of all others.
	 */
	const struct xrnpe_array *calibration;
	/**
	 * What the network should say of each calibration input: its class, which the largest
	 * element of the first output tells, an array of count; or the first output itself, an
	 * array of count x its elements. Half of the inputs, and those that are left out otherwise,
	 * are then kept aside to learn what models lose: xrnpe_model_task(). NULL: none.
	 */
	const struct xrnpe_array *labels;
	/**
	 * With limits of bytes, cycles or energy, the model is that with the least error within
	 * them, or one that costs less of what is not limited and whose error cannot be told from
	 * that; with one of error, that with the fewest bytes and cycles whose error is no
	 * larger, on inputs that nothing was fitted to, and which keeps the other limits; likewise
	 * with one of loss, that is kept with a certainty of 95 %.
	 * Without any, that for an error of XRNPE_VISIBLE_ERROR, or what comes closest.
	 */
	struct xrnpe_limits limits;
	/**
	 * Try so many other choices, too, from the most exact to the cheapest there can be,
	 * whatever the limits, to show what else there is; see xrnpe_model_trial().
	 */
	unsigned int trials;
	/**
	 * Most points that the model has: that which suits the limits, and of the others that
	 * were tried, have an error of 25 % at most, and are not beaten in cycles, energy and
	 * error at once, those that differ most. At least twice as many others are tried. 0: 1.
	 */
	unsigned int points;
	/**
	 * Formats that are not for the compiler to choose. Those of layers that have none,
	 * as they compare or move numbers or run on the CPU, are left out of account.
	 */
	const struct xrnpe_layer_formats *formats;
	size_t format_count;
	/** Figures by which energy is told, in limits and otherwise; NULL: xrnpe_energy_init()'s. */
	const struct xrnpe_energy *energy;
	/**
	 * Called as the compiler proceeds; @total is the number of steps. May be
	 * NULL. Not zero: stop, and xrnpe_compile() returns -ECANCELED.
	 */
	xrnpe_progress progress;
	void *progress_data;
	/**
	 * Called for what a person should know though nothing failed: what is odd about the
	 * calibration data, what could not be reached. May be NULL.
	 */
	xrnpe_note note;
	void *note_data;
};

#define XRNPE_CALIBRATION_MAX 512

/**
 * Read a limit as a user writes it, and add it to @limits: bytes ("61440", "60KiB", "1.5MiB"),
 * how many times smaller than in binary32 the parameters of @graph shall be ("4x", "5.5x"),
 * time or cycles of an inference on the default array ("2ms", "300us", "1.5Mcycles"), energy
 * ("2mJ", "80uJ") or error ("1%"). Of two of a kind the tighter one holds. Returns 0 or -EINVAL.
 */
int xrnpe_limits_parse(const char *text, const struct xrnpe_graph *graph,
		       struct xrnpe_limits *limits, struct xrnpe_error *error);

/**
 * Compile: fold batch norms, find scales, round weights, measure what the network loses when
 * a layer's weights or inputs are in each format, on the calibration data, choose formats for
 * both as the limits say, and write commands. The same graph and options always give the
 * same model. Scales that the file gives (Documentation/training.rst) are kept, and so are the
 * biases of layers whose weights have them.
 *
 * Returns 0; -EINVAL: the calibration data do not fit the model, or hold a value
 * that is not finite, or are all zero, or formats are given by name for a layer that there is
 * not or that cannot read them, or labels do not fit, or are too few for the limit of loss, or a
 * figure of energy is none; -ENOSPC: a limit cannot be kept (the message says what can);
 * -ENOTSUP: the device cannot do a layer; -ECANCELED.
 */
int xrnpe_compile(const struct xrnpe_graph *graph, const struct xrnpe_compile_options *options,
		  struct xrnpe_model **model, struct xrnpe_error *error);

/* ---- numbers and commands --------------------------------------------- */

/**
 * Round numbers to multiples of a scale that a format holds, as the device rounds:
 * scale * decode(encode(value / scale)) in binary32, NaR as a NaN.
 *
 * @format: one that multiplies, fp4 .. p16; NaNs become +6 in FP4, which has none
 * @scales: one for each of @rows; positive
 * @values, @rounded: @rows x @columns; may be the same
 *
 * Returns 0; -EINVAL: @format multiplies nothing.
 */
int xrnpe_quantize(enum xrnpe_format format, size_t rows, size_t columns, const float *scales,
		   const float *values, float *rounded);

/**
 * For each row of numbers the scale with which xrnpe_quantize() loses least: the sum of squared
 * errors, each times its importance. It is what xrnpe_compile() looks for. Of zeros alone 1.
 *
 * @values: @rows x @columns, finite
 * @importance: by column, not negative; NULL: 1
 * @scales: out, @rows
 *
 * Returns 0; -EINVAL: @format multiplies nothing; -ENOMEM.
 */
int xrnpe_fit_scales(enum xrnpe_format format, size_t rows, size_t columns, const float *values,
		     const double *importance, float *scales);

/**
 * Round rows of weights to multiples of a scale for each row, such that not the errors of weights
 * are small but those of the sums that a row makes of what it is multiplied by: as
 * xrnpe_compile() rounds them. Weights nearer to zero than to the least number of a format become
 * zero.
 *
 * @weights: @rows x @columns, finite
 * @products: @columns x @columns, of which what is right of the diagonal is not read: for any two
 *	columns the mean of the product of what they are multiplied by
 * @scales: out, @rows
 * @rounded: out, @rows x @columns, in units of one; may be @weights
 *
 * Returns 0; -EINVAL: @format multiplies nothing, or there are no or too many weights; -ENOMEM.
 */
int xrnpe_fit_weights(enum xrnpe_format format, size_t rows, size_t columns, const float *weights,
		      const float *products, float *scales, float *rounded);

/** Memory of the caller's that commands may use. */
struct xrnpe_memory {
	void *data;
	uint64_t size;			/**< bytes */
	uint32_t flags;			/**< XRNPE_REGION_READ, XRNPE_REGION_WRITE */
};

/**
 * Run commands, one after the other, on the datapath in this process: with the bits of
 * every device, but without a model and without a driver.
 *
 * @cmds: at most XRNPE_MAX_CMDS
 * @regions: at most XRNPE_MAX_REGIONS, what commands call region 0, 1 ...
 * @status: XRNPE_STATUS_* are or-ed in; may be NULL
 *
 * Returns 0; -EFAULT: a command is illegal or at fault, the message says which and how, and
 * what those before it wrote is written; -EINVAL: too many commands or regions.
 */
int xrnpe_commands_run(const struct xrnpe_cmd *cmds, size_t count,
		       const struct xrnpe_memory *regions, unsigned int region_count,
		       uint32_t *status, struct xrnpe_error *error);

#ifdef __cplusplus
}
#endif

#endif
