"""A bucket's place in each form that people have it in, and pairs that contradict each other."""

ACCOUNT = "1234567890123456"
SHOWN = (
    f"https://my-bucket-{ACCOUNT}.cn-beijing-internal.oss-vectors.aliyuncs.com"  # by the console
)
PUBLIC = f"https://my-bucket-{ACCOUNT}.cn-beijing.oss-vectors.aliyuncs.com"
REGIONAL = "https://cn-beijing.oss-vectors.aliyuncs.com"
ARN = f"acs:ossvector:cn-beijing:{ACCOUNT}:my-bucket"
VARIABLES = {
    "bucket": "OSS_VECTORS_BUCKET",
    "account_id": "OSS_ACCOUNT_ID",
    "region": "OSS_REGION",
    "index": "OSS_VECTORS_INDEX",
    "endpoint": "OSS_ENDPOINT",
}
FLAGS = {
    "bucket": "--bucket",
    "account_id": "--account-id",
    "region": "--region",
    "index": "--index-name",
    "endpoint": "--endpoint",
}


def _arn(region="cn-beijing", account=ACCOUNT, bucket="my-bucket"):
    return f"acs:ossvector:{region}:{account}:{bucket}"


# What is contradicted, the two settings by name, and the value that each gives.
CONTRADICTIONS = {
    "a bucket's endpoint and a bucket": (
        "bucket",
        {"endpoint": (SHOWN, "my-bucket"), "bucket": ("other", "other")},
    ),
    "a bucket's endpoint and an ARN of another bucket": (
        "bucket",
        {"endpoint": (SHOWN, "my-bucket"), "bucket": (_arn(bucket="my-bucket-1"), "my-bucket-1")},
    ),
    "a bucket's endpoint and an account": (
        "account_id",
        {"endpoint": (SHOWN, ACCOUNT), "account_id": ("42", "42")},
    ),
    "a bucket's endpoint and an ARN of another account": (
        "account_id",
        {"endpoint": (SHOWN, ACCOUNT), "bucket": (_arn(account="42"), "42")},
    ),
    "an ARN and an account": ("account_id", {"bucket": (ARN, ACCOUNT), "account_id": ("42", "42")}),
    "a bucket's endpoint and a region": (
        "region",
        {"endpoint": (SHOWN, "cn-beijing"), "region": ("cn-hangzhou", "cn-hangzhou")},
    ),
    "a bucket's endpoint and the OSS id of another region": (
        "region",
        {"endpoint": (PUBLIC, "cn-beijing"), "region": ("oss-cn-hangzhou", "cn-hangzhou")},
    ),
    "a bucket's endpoint and an ARN in another region": (
        "region",
        {"endpoint": (SHOWN, "cn-beijing"), "bucket": (_arn("ap-southeast-1"), "ap-southeast-1")},
    ),
    "a region's endpoint and another region": (
        "region",
        {"endpoint": (REGIONAL, "cn-beijing"), "region": ("cn-hangzhou", "cn-hangzhou")},
    ),
    "a region's endpoint and an ARN in another region": (
        "region",
        {"endpoint": (REGIONAL, "cn-beijing"), "bucket": (_arn("cn-hangzhou"), "cn-hangzhou")},
    ),
    "an ARN and a region": (
        "region",
        {"bucket": (ARN, "cn-beijing"), "region": ("cn-hangzhou", "cn-hangzhou")},
    ),
    "an ARN of an index and an index": (
        "index",
        {"bucket": (f"{ARN}/notes", "notes"), "index": ("others", "others")},
    ),
}
