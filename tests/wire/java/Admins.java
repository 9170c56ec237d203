import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Calls every method of Admin, as AdminClients and web consoles do, and prints a line for each call: what it gave, or
 * the class of its exception. What differs from one cluster to another without being wrong (ids, times, sizes, paths)
 * is not printed. Arguments: the bootstrap address, and a file that has a line for each call, in order: what it gave
 * elsewhere, or nothing. What only reads is asked again until it gives that, as a broker learns of a change a little
 * later than the controller that has acknowledged it.
 */
public class Admins {
    private static Admin admin;
    private static final Duration SHORT = Duration.ofMillis(100);
    private static Iterator<String> elsewhere = Collections.emptyIterator();

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> common = Map.of(
            "bootstrap.servers", arguments[0], "default.api.timeout.ms", 20000, "request.timeout.ms", 10000);
        admin = Admin.create(common);
        if (arguments.length > 1) elsewhere = Files.readAllLines(Path.of(arguments[1])).iterator();
        topics();
        records(common);
        configs();
        groups(common);
        partitions();
        security();
        cluster();
        transactions();
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    // ---------------------------------------------------------------------------------------------------- the frame

    private static void call(String name, Callable<Object> what) {
        String expected = elsewhere.hasNext() ? elsewhere.next() : "";
        boolean reads = name.startsWith("list") || name.startsWith("describe");
        String told = outcome(what);
        for (int attempt = 0; reads && !expected.isEmpty() && !told.equals(expected) && attempt < 100; attempt++) {
            pause();
            told = outcome(what);
        }
        System.out.println(name + ": " + told);
    }

    private static String outcome(Callable<Object> what) {
        String told;
        try {
            told = String.valueOf(what.call());
        } catch (ExecutionException thrown) {
            told = thrown.getCause().getClass().getSimpleName();
        } catch (Exception thrown) {
            told = thrown.getClass().getSimpleName();
        }
        return told.replace("\n", " ");
    }

    private static void pause() {
        try {
            Thread.sleep(50);
        } catch (InterruptedException thrown) {
            throw new RuntimeException(thrown);
        }
    }

    /** The outcome of each part of an answer. */
    private static <K, V> String each(Map<K, KafkaFuture<V>> parts) throws Exception {
        Map<String, String> found = new TreeMap<>();
        for (Map.Entry<K, KafkaFuture<V>> part : parts.entrySet()) {
            String told;
            try {
                V value = part.getValue().get();
                told = value == null ? "done" : String.valueOf(value);
            } catch (ExecutionException thrown) {
                told = thrown.getCause().getClass().getSimpleName();
            }
            found.put(String.valueOf(part.getKey()), told);
        }
        return found.toString();
    }

    private static <K, V> String outcomes(Map<K, KafkaFuture<V>> parts) throws Exception {
        Map<K, KafkaFuture<String>> short_ = new HashMap<>();
        parts.forEach((key, value) -> short_.put(key, value.thenApply(found -> "done")));
        return each(short_);
    }

    private static TopicPartition at(String topic, int partition) {
        return new TopicPartition(topic, partition);
    }

    private static ConfigResource resource(ConfigResource.Type type, String name) {
        return new ConfigResource(type, name);
    }

    // ------------------------------------------------------------------------------------------------------- topics

    private static void topics() {
        call("createTopics", () -> {
            CreateTopicsResult made = admin.createTopics(List.of(
                new NewTopic("one", 2, (short) 1).configs(Map.of("retention.ms", "100000")),
                new NewTopic("two", Map.of(0, List.of(0))), new NewTopic("three", Optional.empty(), Optional.empty()),
                new NewTopic("a b", 1, (short) 1), new NewTopic("none", 0, (short) 1),
                new NewTopic("seven", 1, (short) 7), new NewTopic("setting", 1, (short) 1).configs(Map.of("x", "y"))));
            return outcomes(made.values()) + " " + made.numPartitions("one").get() + " "
                + made.replicationFactor("one").get() + " " + configs(made.config("one").get().entries());
        });
        call("createTopics again", () -> each(admin.createTopics(List.of(new NewTopic("one", 2, (short) 1))).values()));
        call("createTopics validateOnly", () -> each(admin.createTopics(
            List.of(new NewTopic("not", 2, (short) 1), new NewTopic("one", 1, (short) 1)),
            new CreateTopicsOptions().validateOnly(true)).values()));
        call("listTopics", () -> new TreeSet<>(admin.listTopics().names().get()));
        call("describeTopics", () -> outcomes(admin.describeTopics(List.of("one", "nope", "a b")).topicNameValues()));
        call("describeTopics with operations", () -> {
            TopicDescription found = admin.describeTopics(List.of("one"),
                new DescribeTopicsOptions().includeAuthorizedOperations(true)).allTopicNames().get().get("one");
            return found.name() + found.isInternal() + new TreeSet<>(found.authorizedOperations())
                + found.partitions().stream().map(each -> each.partition() + " " + each.leader().id() + ids(each.replicas())
                + ids(each.isr()) + each.elr() + each.lastKnownElr()).toList();
        });
        call("describeTopics by pages", () -> admin.describeTopics(List.of("one", "two", "three"),
            new DescribeTopicsOptions().partitionSizeLimitPerResponse(1)).allTopicNames().get().keySet().size());
        call("describeTopics by id", () -> {
            Uuid id = admin.describeTopics(List.of("one")).allTopicNames().get().get("one").topicId();
            return admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id).name();
        });
        call("describeTopics by a wrong id", () -> admin.describeTopics(
            TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).allTopicIds().get());
        call("createPartitions", () -> each(admin.createPartitions(Map.of(
            "two", NewPartitions.increaseTo(3), "one", NewPartitions.increaseTo(1), "nope", NewPartitions.increaseTo(2),
            "three", NewPartitions.increaseTo(2, List.of(List.of(9))))).values()));
        call("createPartitions validateOnly", () -> each(admin.createPartitions(
            Map.of("two", NewPartitions.increaseTo(5), "one", NewPartitions.increaseTo(1)),
            new CreatePartitionsOptions().validateOnly(true)).values()));
        call("partitions then", () -> {
            int found = 0;
            for (int attempt = 0; attempt < 100 && found != 3; attempt++) { // a broker learns of them a little later
                found = admin.describeTopics(List.of("two")).allTopicNames().get().get("two").partitions().size();
                pause();
            }
            return found;
        });
        call("deleteTopics", () -> each(admin.deleteTopics(List.of("three", "nope")).topicNameValues()));
        call("deleteTopics by a wrong id", () -> outcomes(
            admin.deleteTopics(TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).topicIdValues()));
    }

    private static List<Integer> ids(Collection<Node> nodes) {
        return nodes.stream().map(Node::id).sorted().toList();
    }

    // ---------------------------------------------------------------------------------------------- records, offsets

    private static void records(Map<String, Object> common) throws Exception {
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(common, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < 10; number++)
                producer.send(new ProducerRecord<>("one", 0, 1000L + number % 7, "k", "v" + number)).get();
            producer.send(new ProducerRecord<>("two", 0, null, "k", "v")).get();
        }
        Map<String, OffsetSpec> wanted = new TreeMap<>(Map.of(
            "earliest", OffsetSpec.earliest(), "latest", OffsetSpec.latest(), "maxTimestamp", OffsetSpec.maxTimestamp(),
            "timestamp", OffsetSpec.forTimestamp(1004), "late", OffsetSpec.forTimestamp(9999999999999L),
            "earliestLocal", OffsetSpec.earliestLocal(), "latestTiered", OffsetSpec.latestTiered(),
            "earliestPendingUpload", OffsetSpec.earliestPendingUpload()));
        wanted.forEach((name, spec) -> call("listOffsets " + name, () -> {
            ListOffsetsResult found = admin.listOffsets(Map.of(at("one", 0), spec, at("one", 1), spec));
            List<String> told = new ArrayList<>();
            for (int partition = 0; partition < 2; partition++) {
                ListOffsetsResult.ListOffsetsResultInfo info = found.partitionResult(at("one", partition)).get();
                told.add(info.offset() + " " + info.timestamp() + " " + info.leaderEpoch());
            }
            return told;
        }));
        call("listOffsets nope", () -> admin.listOffsets(Map.of(at("nope", 0), OffsetSpec.latest()),
            new ListOffsetsOptions().timeoutMs(2000)).partitionResult(at("nope", 0)).get());
        call("deleteRecords", () -> {
            Map<String, String> told = new TreeMap<>();
            admin.deleteRecords(Map.of(at("one", 0), RecordsToDelete.beforeOffset(3), at("one", 1),
                RecordsToDelete.beforeOffset(99))).lowWatermarks().forEach((partition, future) -> {
                    try {
                        told.put(partition.toString(), "" + future.get().lowWatermark());
                    } catch (Exception thrown) {
                        told.put(partition.toString(), thrown.getCause().getClass().getSimpleName());
                    }
                });
            return told;
        });
        call("deleteRecords to the end", () -> admin.deleteRecords(
            Map.of(at("one", 0), RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(at("one", 0)).get().lowWatermark());
    }

    // ------------------------------------------------------------------------------------------------------ configs

    private static String configs(Collection<ConfigEntry> entries) {
        return entries.stream().map(each -> each.name() + "=" + each.source() + "," + each.isReadOnly() + ","
            + each.isSensitive() + "," + each.type() + "," + each.synonyms().stream().map(some -> some.name() + " "
            + some.source()).toList() + "," + (each.documentation() == null ? "bare" : "documented"))
            .sorted().collect(Collectors.joining(" | "));
    }

    private static void describe(ConfigResource.Type type, String name, String... settings) {
        call("describeConfigs " + type + " " + name, () -> {
            Collection<ConfigEntry> found = admin.describeConfigs(List.of(resource(type, name)),
                new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true)).all().get()
                .get(resource(type, name)).entries();
            Set<String> wanted = new HashSet<>(Arrays.asList(settings));
            return wanted.isEmpty() ? configs(found)
                : configs(found.stream().filter(each -> wanted.contains(each.name())).toList());
        });
    }

    private static void alter(String name, ConfigResource.Type type, String of, AlterConfigOp.OpType operation,
                              String setting, String value) {
        call("incrementalAlterConfigs " + name, () -> each(admin.incrementalAlterConfigs(Map.of(resource(type, of),
            List.of(new AlterConfigOp(new ConfigEntry(setting, value), operation)))).values()));
    }

    private static void configs() {
        ConfigResource.Type topic = ConfigResource.Type.TOPIC, broker = ConfigResource.Type.BROKER;
        describe(topic, "one");
        describe(topic, "nope");
        describe(topic, "a b");
        describe(broker, "0", "log.retention.ms", "num.partitions", "log.dirs", "node.id", "compression.type",
            "auto.create.topics.enable", "message.max.bytes", "log.cleaner.threads", "ssl.key.password");
        describe(broker, "", "log.retention.ms");
        describe(broker, "7", "log.retention.ms");
        describe(broker, "seven", "log.retention.ms");
        describe(ConfigResource.Type.GROUP, "anyone");
        describe(ConfigResource.Type.CLIENT_METRICS, "anyone");
        call("describeConfigs BROKER_LOGGER", () -> admin.describeConfigs(
            List.of(resource(ConfigResource.Type.BROKER_LOGGER, "0"))).all().get().size());
        alter("set", topic, "one", AlterConfigOp.OpType.SET, "segment.bytes", "2000000");
        alter("append", topic, "one", AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact");
        alter("subtract", topic, "one", AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "delete");
        alter("delete", topic, "one", AlterConfigOp.OpType.DELETE, "cleanup.policy", null);
        alter("append to a number", topic, "one", AlterConfigOp.OpType.APPEND, "segment.bytes", "1");
        alter("unknown", topic, "one", AlterConfigOp.OpType.SET, "x", "1");
        alter("invalid", topic, "one", AlterConfigOp.OpType.SET, "segment.bytes", "x");
        alter("no topic", topic, "nope", AlterConfigOp.OpType.SET, "segment.bytes", "2000000");
        alter("broker", broker, "0", AlterConfigOp.OpType.SET, "log.cleaner.threads", "2");
        alter("broker read-only", broker, "0", AlterConfigOp.OpType.SET, "node.id", "2");
        alter("brokers", broker, "", AlterConfigOp.OpType.SET, "log.retention.ms", "7200000");
        alter("group", ConfigResource.Type.GROUP, "anyone", AlterConfigOp.OpType.SET, "consumer.session.timeout.ms", "46000");
        alter("group unknown", ConfigResource.Type.GROUP, "anyone", AlterConfigOp.OpType.SET, "x", "46000");
        alter("client metrics", ConfigResource.Type.CLIENT_METRICS, "cm", AlterConfigOp.OpType.SET, "interval.ms", "1000");
        alter("client metrics away", ConfigResource.Type.CLIENT_METRICS, "cm", AlterConfigOp.OpType.DELETE, "interval.ms", null);
        call("incrementalAlterConfigs validateOnly", () -> each(admin.incrementalAlterConfigs(
            Map.of(resource(topic, "one"), List.of(new AlterConfigOp(
                new ConfigEntry("segment.bytes", "x"), AlterConfigOp.OpType.SET))),
            new AlterConfigsOptions().validateOnly(true)).values()));
        call("incrementalAlterConfigs BROKER_LOGGER", () -> each(admin.incrementalAlterConfigs(
            Map.of(resource(ConfigResource.Type.BROKER_LOGGER, "0"), List.of(new AlterConfigOp(
                new ConfigEntry("kafka.server.KafkaApis", "INFO"), AlterConfigOp.OpType.SET)))).values()));
        describe(topic, "one");
        describe(broker, "0", "log.retention.ms", "log.cleaner.threads");
        describe(broker, "", "log.retention.ms");
        describe(ConfigResource.Type.GROUP, "anyone", "consumer.session.timeout.ms");
        call("listConfigResources", () -> admin.listConfigResources().all().get().stream()
            .filter(each -> !each.name().startsWith("__")).map(each -> each.type() + " " + each.name()).sorted().toList());
        call("listConfigResources topics", () -> admin.listConfigResources(Set.of(topic), new ListConfigResourcesOptions())
            .all().get().stream().filter(each -> !each.name().startsWith("__")).map(ConfigResource::name).sorted().toList());
        call("listClientMetricsResources", () -> admin.listClientMetricsResources().all().get().size());
        alter("broker back", broker, "0", AlterConfigOp.OpType.DELETE, "log.cleaner.threads", null);
        alter("brokers back", broker, "", AlterConfigOp.OpType.DELETE, "log.retention.ms", null);
        alter("group back", ConfigResource.Type.GROUP, "anyone", AlterConfigOp.OpType.DELETE, "consumer.session.timeout.ms", null);
    }

    // ------------------------------------------------------------------------------------------------------- groups

    private static KafkaConsumer<String, String> consumer(Map<String, Object> common, String group, String protocol)
            throws Exception {
        Map<String, Object> settings = new HashMap<>(common);
        settings.putAll(Map.of("group.id", group, "group.protocol", protocol, "auto.offset.reset", "earliest",
            "client.id", "c-" + group, "group.instance.id", "i-" + group));
        KafkaConsumer<String, String> made =
            new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
        made.subscribe(List.of("two"));
        while (made.assignment().size() != 3) made.poll(SHORT);
        made.commitSync(Map.of(at("two", 0), new OffsetAndMetadata(0, "a text")));
        while (admin.describeConsumerGroups(List.of(group)).all().get().get(group).groupState() != GroupState.STABLE)
            made.poll(SHORT); // its coordinator learns of what it has by the next heartbeat
        return made;
    }

    private static String described(ConsumerGroupDescription found) {
        return found.groupId() + " " + found.type() + " " + found.groupState() + " " + found.partitionAssignor() + " "
            + found.isSimpleConsumerGroup() + " " + found.coordinator().id() + " "
            + (found.authorizedOperations() == null ? null : new TreeSet<>(found.authorizedOperations())) + " "
            + found.groupEpoch().isPresent() + found.targetAssignmentEpoch().isPresent()
            + found.members().stream().map(each -> each.clientId() + each.host() + each.groupInstanceId()
                + new TreeSet<>(each.assignment().topicPartitions().stream().map(TopicPartition::toString).toList())
                + each.targetAssignment().isPresent() + each.memberEpoch().isPresent() + each.upgraded()).toList();
    }

    private static void groups(Map<String, Object> common) throws Exception {
        call("alterConsumerGroupOffsets", () -> {
            AlterConsumerGroupOffsetsResult done = admin.alterConsumerGroupOffsets("alone", Map.of(
                at("two", 0), new OffsetAndMetadata(0, "t"), at("two", 9), new OffsetAndMetadata(0)));
            String told = "";
            for (int partition : List.of(0, 9))
                try {
                    done.partitionResult(at("two", partition)).get();
                    told += "done ";
                } catch (ExecutionException thrown) {
                    told += thrown.getCause().getClass().getSimpleName() + " ";
                }
            return told;
        });
        call("listConsumerGroupOffsets", () -> admin.listConsumerGroupOffsets("alone").partitionsToOffsetAndMetadata().get());
        call("listConsumerGroupOffsets of a partition", () -> admin.listConsumerGroupOffsets(Map.of("alone",
            new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(at("two", 1), at("nope", 0)))))
            .partitionsToOffsetAndMetadata("alone").get().entrySet().stream().map(Object::toString).sorted().toList());
        call("listConsumerGroupOffsets of nobody", () -> admin.listConsumerGroupOffsets("nobody")
            .partitionsToOffsetAndMetadata().get());
        KafkaConsumer<String, String> classic = consumer(common, "classic", "classic");
        KafkaConsumer<String, String> modern = consumer(common, "modern", "consumer");
        modern.poll(Duration.ofMillis(300));
        classic.poll(Duration.ofMillis(300));
        call("listGroups", () -> admin.listGroups().all().get().stream().map(each -> each.groupId() + " " + each.type()
            + " " + each.protocol() + " " + each.groupState()).sorted().toList());
        call("listGroups of a type", () -> admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER)))
            .all().get().stream().map(GroupListing::groupId).sorted().toList());
        call("listGroups in a state", () -> admin.listGroups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE)))
            .all().get().stream().map(GroupListing::groupId).sorted().toList());
        call("listGroups forShareGroups", () -> admin.listGroups(ListGroupsOptions.forShareGroups()).all().get().size());
        call("listGroups forStreamsGroups", () -> admin.listGroups(ListGroupsOptions.forStreamsGroups()).all().get().size());
        call("listConsumerGroups", () -> admin.listConsumerGroups().all().get().stream().map(each -> each.groupId() + " "
            + each.type() + " " + each.groupState() + " " + each.isSimpleConsumerGroup()).sorted().toList());
        call("listConsumerGroups of types", () -> admin.listConsumerGroups(new ListConsumerGroupsOptions()
            .withTypes(Set.of(GroupType.CLASSIC))).all().get().stream().map(ConsumerGroupListing::groupId).sorted().toList());
        for (String group : List.of("alone", "classic", "modern", "nobody", ""))
            call("describeConsumerGroups " + group, () -> described(admin.describeConsumerGroups(List.of(group),
                new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true)).all().get().get(group)));
        for (String group : List.of("alone", "classic", "modern", "nobody"))
            call("describeClassicGroups " + group, () -> {
                ClassicGroupDescription found = admin.describeClassicGroups(List.of(group)).all().get().get(group);
                return found.protocol() + " " + found.protocolData() + " " + found.state() + " " + found.members().size();
            });
        call("describeShareGroups", () -> outcomes(admin.describeShareGroups(List.of("nobody", "classic")).describedGroups()));
        call("describeStreamsGroups", () -> outcomes(admin.describeStreamsGroups(List.of("nobody", "classic")).describedGroups()));
        call("alterConsumerGroupOffsets of a busy one", () -> admin.alterConsumerGroupOffsets("classic",
            Map.of(at("two", 0), new OffsetAndMetadata(0))).all().get());
        call("alterConsumerGroupOffsets of a busy modern one", () -> admin.alterConsumerGroupOffsets("modern",
            Map.of(at("two", 0), new OffsetAndMetadata(0))).all().get());
        call("deleteConsumerGroupOffsets of a busy one", () -> admin.deleteConsumerGroupOffsets("classic",
            Set.of(at("two", 0))).partitionResult(at("two", 0)).get());
        call("deleteConsumerGroups of a busy one", () -> each(admin.deleteConsumerGroups(List.of("classic", "modern", "nobody"))
            .deletedGroups()));
        call("removeMembersFromConsumerGroup by a wrong id", () -> admin.removeMembersFromConsumerGroup("classic",
            new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("nobody")))).all().get());
        call("removeMembersFromConsumerGroup", () -> admin.removeMembersFromConsumerGroup("classic",
            new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("i-classic")))).all().get());
        call("removeMembersFromConsumerGroup all of them", () -> admin.removeMembersFromConsumerGroup("modern",
            new RemoveMembersFromConsumerGroupOptions()).all().get());
        call("removeMembersFromConsumerGroup nobody's", () -> admin.removeMembersFromConsumerGroup("nobody",
            new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("x")))).all().get());
        for (KafkaConsumer<String, String> each : List.of(classic, modern)) try { each.close(); } catch (Exception ignored) { }
        call("deleteConsumerGroupOffsets", () -> admin.deleteConsumerGroupOffsets("alone", Set.of(at("two", 0)))
            .partitionResult(at("two", 0)).get());
        call("deleteConsumerGroupOffsets of nobody", () -> admin.deleteConsumerGroupOffsets("nobody", Set.of(at("two", 0)))
            .partitionResult(at("two", 0)).get());
        call("deleteConsumerGroups", () -> each(admin.deleteConsumerGroups(List.of("classic")).deletedGroups()));
        call("deleteShareGroups", () -> each(admin.deleteShareGroups(List.of("nobody")).deletedGroups()));
        call("deleteStreamsGroups", () -> each(admin.deleteStreamsGroups(List.of("nobody")).deletedGroups()));
        call("listShareGroupOffsets", () -> admin.listShareGroupOffsets(Map.of("nobody",
            new ListShareGroupOffsetsSpec().topicPartitions(List.of(at("two", 0))))).partitionsToOffsetInfo("nobody").get());
        call("alterShareGroupOffsets", () -> admin.alterShareGroupOffsets("nobody", Map.of(at("two", 0), 0L)).all().get());
        call("deleteShareGroupOffsets", () -> admin.deleteShareGroupOffsets("nobody", Set.of("two")).all().get());
        call("listStreamsGroupOffsets", () -> admin.listStreamsGroupOffsets(Map.of("nobody",
            new ListStreamsGroupOffsetsSpec())).partitionsToOffsetAndMetadata("nobody").get());
        call("alterStreamsGroupOffsets", () -> admin.alterStreamsGroupOffsets("streams", Map.of(at("two", 0),
            new OffsetAndMetadata(0))).all().get());
        call("deleteStreamsGroupOffsets", () -> admin.deleteStreamsGroupOffsets("nobody", Set.of(at("two", 0))).all().get());
    }

    // ------------------------------------------------------------------------------------ partitions, log directories

    private static void partitions() {
        for (ElectionType type : ElectionType.values()) {
            call("electLeaders " + type, () -> admin.electLeaders(type, Set.of(at("one", 0), at("nope", 0))).partitions().get()
                .entrySet().stream().map(each -> each.getKey() + " " + each.getValue()
                    .map(error -> error.getClass().getSimpleName())).sorted().toList());
            call("electLeaders " + type + " of all", () -> admin.electLeaders(type, null).partitions().get().size());
        }
        call("alterPartitionReassignments", () -> each(admin.alterPartitionReassignments(Map.of(
            at("one", 0), Optional.of(new NewPartitionReassignment(List.of(0))),
            at("one", 1), Optional.of(new NewPartitionReassignment(List.of(7))),
            at("two", 0), Optional.empty(),
            at("nope", 0), Optional.of(new NewPartitionReassignment(List.of(0))))).values()));
        call("listPartitionReassignments", () -> admin.listPartitionReassignments().reassignments().get());
        call("listPartitionReassignments of some", () -> admin.listPartitionReassignments(Set.of(at("one", 0), at("nope", 0)))
            .reassignments().get());
        call("describeLogDirs", () -> admin.describeLogDirs(List.of(0)).allDescriptions().get().get(0).values().stream()
            .map(each -> each.error() + " " + each.totalBytes().isPresent() + each.usableBytes().isPresent() + " "
                + each.replicaInfos().entrySet().stream().filter(one -> !one.getKey().topic().startsWith("__"))
                .map(one -> one.getKey() + " " + one.getValue().offsetLag() + one.getValue().isFuture()).sorted().toList())
            .toList());
        call("describeLogDirs of nobody", () -> admin.describeLogDirs(List.of(7),
            new DescribeLogDirsOptions().timeoutMs(2000)).allDescriptions().get());
        call("describeReplicaLogDirs", () -> each(admin.describeReplicaLogDirs(List.of(new TopicPartitionReplica("one", 0, 0)))
            .values()).replaceAll("[^ (=]*/[^,) ]*", "PATH").replaceAll("size=\\d+", "size"));
        call("alterReplicaLogDirs", () -> {
            String here = admin.describeLogDirs(List.of(0)).allDescriptions().get().get(0).keySet().iterator().next();
            return each(admin.alterReplicaLogDirs(Map.of(new TopicPartitionReplica("one", 0, 0), here)).values());
        });
        call("alterReplicaLogDirs to nowhere", () -> each(admin.alterReplicaLogDirs(
            Map.of(new TopicPartitionReplica("one", 0, 0), "/nowhere/at/all")).values()));
        call("alterReplicaLogDirs of nothing", () -> each(admin.alterReplicaLogDirs(
            Map.of(new TopicPartitionReplica("nope", 0, 0), "/nowhere/at/all")).values()));
        call("describeProducers", () -> admin.describeProducers(List.of(at("two", 0))).partitionResult(at("two", 0)).get()
            .activeProducers().stream().map(each -> each.producerEpoch() + " " + each.lastSequence() + " "
                + each.currentTransactionStartOffset()).toList());
        call("describeProducers nope", () -> admin.describeProducers(List.of(at("nope", 0)),
            new DescribeProducersOptions().timeoutMs(2000)).partitionResult(at("nope", 0)).get());
    }

    // ----------------------------------------------------------------------------------------------------- security

    /** What is asked for, once there is any of it: a broker learns of a change a little later than the controller. */
    private static <K, V> Map<K, V> later(Callable<Map<K, V>> ask) throws Exception {
        Map<K, V> found = ask.call();
        for (int attempt = 0; attempt < 200 && found.isEmpty(); attempt++) {
            pause();
            found = ask.call();
        }
        return found;
    }

    private static void security() {
        AclBinding acl = new AclBinding(new ResourcePattern(ResourceType.TOPIC, "one", PatternType.LITERAL),
            new AccessControlEntry("User:ada", "*", AclOperation.READ, AclPermissionType.ALLOW));
        call("describeAcls", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
        call("createAcls", () -> each(admin.createAcls(List.of(acl)).values()));
        call("deleteAcls", () -> outcomes(admin.deleteAcls(List.of(acl.toFilter())).values()));
        call("createDelegationToken", () -> admin.createDelegationToken().delegationToken().get());
        call("renewDelegationToken", () -> admin.renewDelegationToken(new byte[] {1}).expiryTimestamp().get());
        call("expireDelegationToken", () -> admin.expireDelegationToken(new byte[] {1}).expiryTimestamp().get());
        call("describeDelegationToken", () -> admin.describeDelegationToken().delegationTokens().get());
        ClientQuotaEntity ada = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, "ada"));
        call("describeClientQuotas", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get());
        call("alterClientQuotas", () -> each(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(ada,
            List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1000.0))))).values()));
        call("alterClientQuotas unknown", () -> each(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(ada,
            List.of(new ClientQuotaAlteration.Op("x", 1000.0))))).values()));
        call("describeClientQuotas of one", () -> later(() -> admin.describeClientQuotas(ClientQuotaFilter.contains(
            List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, "ada")))).entities().get()));
        call("alterClientQuotas back", () -> each(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(ada,
            List.of(new ClientQuotaAlteration.Op("producer_byte_rate", null))))).values()));
        call("describeUserScramCredentials", () -> admin.describeUserScramCredentials().all().get());
        call("describeUserScramCredentials of nobody", () -> admin.describeUserScramCredentials(List.of("nobody"))
            .description("nobody").get());
        ScramCredentialInfo scram = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096);
        call("alterUserScramCredentials", () -> each(admin.alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion("ada", scram, "secret"))).values()));
        call("describeUserScramCredentials then", () -> later(() -> admin.describeUserScramCredentials().all().get()));
        call("alterUserScramCredentials few iterations", () -> each(admin.alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion("bob", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 10), "x"))).values()));
        call("alterUserScramCredentials away", () -> each(admin.alterUserScramCredentials(List.of(
            new UserScramCredentialDeletion("ada", ScramMechanism.SCRAM_SHA_256),
            new UserScramCredentialDeletion("nobody", ScramMechanism.SCRAM_SHA_512))).values()));
    }

    // ------------------------------------------------------------------------------------------------------ cluster

    private static void cluster() {
        call("describeCluster", () -> {
            DescribeClusterResult found = admin.describeCluster(
                new DescribeClusterOptions().includeAuthorizedOperations(true).includeFencedBrokers(true));
            return ids(found.nodes().get()) + " " + found.controller().get().id() + " " + found.clusterId().get().isEmpty()
                + new TreeSet<>(found.authorizedOperations().get());
        });
        call("describeFeatures", () -> {
            FeatureMetadata found = admin.describeFeatures().featureMetadata().get();
            return new TreeMap<>(found.finalizedFeatures()) + " " + new TreeMap<>(found.supportedFeatures()) + " "
                + found.finalizedFeaturesEpoch().isPresent();
        });
        call("updateFeatures", () -> each(admin.updateFeatures(Map.of("x",
            new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).values()));
        call("updateFeatures validateOnly", () -> each(admin.updateFeatures(Map.of("group.version",
            new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)),
            new UpdateFeaturesOptions().validateOnly(true)).values()));
        call("describeMetadataQuorum", () -> {
            QuorumInfo found = admin.describeMetadataQuorum().quorumInfo().get();
            return found.leaderId() + " " + (found.highWatermark() >= 0) + found.voters().stream().map(each ->
                each.replicaId() + " " + each.lastCaughtUpTimestamp().isPresent()).toList()
                + found.observers().size() + found.nodes().keySet();
        });
        call("unregisterBroker of nobody", () -> admin.unregisterBroker(7).all().get());
        call("addRaftVoter", () -> admin.addRaftVoter(7, new Uuid(1, 2), Set.of(new RaftVoterEndpoint("CONTROLLER",
            "127.0.0.1", 1)), new AddRaftVoterOptions().timeoutMs(3000)).all().get());
        call("removeRaftVoter", () -> admin.removeRaftVoter(7, new Uuid(1, 2),
            new RemoveRaftVoterOptions().timeoutMs(3000)).all().get());
        call("clientInstanceId", () -> admin.clientInstanceId(Duration.ofSeconds(2)).equals(Uuid.ZERO_UUID));
        call("metrics", () -> !admin.metrics().isEmpty());
    }

    // ------------------------------------------------------------------------------------------------- transactions

    private static void transactions() {
        call("listTransactions", () -> admin.listTransactions().all().get());
        call("describeTransactions", () -> each(new HashMap<>(Map.of("nobody",
            admin.describeTransactions(List.of("nobody")).description("nobody")))));
        call("abortTransaction", () -> admin.abortTransaction(new AbortTransactionSpec(at("one", 0), 5, (short) 0, 0))
            .all().get());
        call("fenceProducers", () -> outcomes(admin.fenceProducers(List.of("fenced")).fencedProducers()));
        call("forceTerminateTransaction", () -> admin.forceTerminateTransaction("nobody").result().get());
    }
}
